//! Lets C modules that an application requires find the Lua that is built into the binary: they are linked against no Lua
//! of their own and look its symbols up in the program that loads them.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for symbols in ["lua_*", "luaL_*", "luaopen_*", "luaJIT_*"] {
        println!("cargo:rustc-link-arg-bins=-Wl,--export-dynamic-symbol={symbols}");
    }
}
