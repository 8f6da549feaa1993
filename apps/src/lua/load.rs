//! Finds the application: module paths, and the error messages when it cannot be found.

use super::config::{AppName, LuaConfig, Source};
use super::host;
use mlua::{Lua, Table, Value};
use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};

const LOAD: &str = include_str!("load.lua");

/// The name of the directories that hold this language's modules.
const VERSION: &str = if cfg!(feature = "lua54") { "5.4" } else { "5.1" };

/// Sets `package.path` and `package.cpath`: the app's directories and the current one, a rocks tree around the
/// executable, then `LUA_PATH` and `LUA_CPATH` or Lua's own defaults, then the directories of Linux distributions.
pub fn set_paths(lua: &Lua, config: &LuaConfig) -> mlua::Result<()> {
    let mut dirs = config.app_dirs.clone();
    if let Source::File(path) = &config.app.source {
        let path = file(path);
        dirs.push(
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf(),
        );
    }
    dirs.push(PathBuf::from("."));
    dirs.dedup();
    let (mut path, mut cpath) = (Vec::new(), Vec::new());
    for dir in &dirs {
        let dir = dir.display();
        path.extend([format!("{dir}/?.lua"), format!("{dir}/?/init.lua")]);
        cpath.push(format!("{dir}/?.so"));
    }
    if let Some(tree) = rocks_tree() {
        let tree = tree.display();
        path.extend([format!("{tree}/share/lua/{VERSION}/?.lua"), format!("{tree}/share/lua/{VERSION}/?/init.lua")]);
        cpath.push(format!("{tree}/lib/lua/{VERSION}/?.so"));
    }
    let package: Table = lua.globals().get("package")?;
    path.push(package.get("path")?);
    cpath.push(package.get("cpath")?);
    path.extend([format!("/usr/share/lua/{VERSION}/?.lua"), format!("/usr/share/lua/{VERSION}/?/init.lua")]);
    let arch = std::env::consts::ARCH;
    cpath.extend([
        format!("/usr/lib/{arch}-linux-gnu/lua/{VERSION}/?.so"),
        format!("/usr/lib/lua/{VERSION}/?.so"),
        format!("/usr/lib64/lua/{VERSION}/?.so"),
    ]);
    package.set("path", path.join(";"))?;
    package.set("cpath", cpath.join(";"))
}

/// TREE, if the executable is `TREE/bin/tine` and luarocks has put rocks for this language into `TREE/lib` or
/// `TREE/share`.
fn rocks_tree() -> Option<PathBuf> {
    let tree = std::env::current_exe().ok()?.parent()?.parent()?.to_path_buf();
    let has = |directory: &str| tree.join(directory).join("lua").join(VERSION).is_dir();
    (has("lib") || has("share")).then_some(tree)
}

/// Loads the application. The error is its own message, with file and line.
pub fn app(lua: &Lua, config: &LuaConfig) -> Result<Value, String> {
    let AppName { source, callable } = &config.app;
    let (name, path) = match source {
        Source::Module(name) => (name.clone(), None),
        Source::File(named) => {
            let path = file(named);
            // If the file cannot be examined, Lua reports why.
            if matches!(path.try_exists(), Ok(false)) {
                return Err(no_file(named));
            }
            (module_of(&path, config), Some(path.display().to_string()))
        }
    };
    let load = lua.load(LOAD).set_name("=tine").into_function().map_err(|e| e.to_string())?;
    let (app, message, traceback): (Value, Option<mlua::String>, Option<mlua::String>) =
        load.call((name.as_str(), path, callable.as_deref())).map_err(|e| e.to_string())?;
    // Lua's strings are bytes; an app's message need not be UTF-8.
    let [message, traceback] = [message, traceback].map(|text| text.map(|text| text.to_string_lossy()));
    match (app, message) {
        (_, Some(message)) if message == "module_not_found" => Err(not_found(&name, config)),
        (_, Some(message)) => {
            // "./docs/app.lua:3" reads better as docs/app.lua:3.
            let message = message.strip_prefix("./").unwrap_or(&message);
            Err(
                match traceback
                    .filter(|_| config.debug)
                    .map(|trace| host::without_server_frames(trace.trim_start()))
                    .as_deref()
                {
                    None | Some("") => message.to_string(),
                    Some(traceback) => format!("{message}\n{traceback}"),
                },
            )
        }
        (app, None) => Ok(app),
    }
}

/// The file that `named` refers to: `docs/app` is `docs/app.lua` if there is no file `docs/app`.
fn file(named: &Path) -> Cow<'_, Path> {
    let with_suffix = || {
        let mut path = named.as_os_str().to_owned();
        path.push(".lua");
        PathBuf::from(path)
    };
    if named.is_file() {
        return Cow::Borrowed(named);
    }
    Some(with_suffix()).filter(|path| path.is_file()).map_or(Cow::Borrowed(named), Cow::Owned)
}

fn no_file(named: &Path) -> String {
    let name = named.display();
    let suffixed = if named.extension().is_some_and(|suffix| suffix == "lua") { "" } else { ".lua" };
    let or_with = if suffixed.is_empty() { String::new() } else { format!(" or {name}{suffixed}") };
    let here = match (named.is_relative(), std::env::current_dir()) {
        (true, Ok(directory)) => format!(" in {}", directory.display()),
        _ => String::new(),
    };
    format!("no file {name}{or_with}{here}; give the path of a Lua file, or the name of a module")
}

/// The name by which `require` would find the file: relative to a directory that is searched for modules, else the
/// file's own name.
fn module_of(path: &Path, config: &LuaConfig) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let directories = config.app_dirs.iter().map(PathBuf::as_path).chain([here.as_path(), Path::new(".")]);
    let dotted = |rest: &Path| {
        let parts: Option<Vec<&str>> = rest
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str().filter(|name| !name.contains('.')),
                _ => None,
            })
            .collect();
        parts.map(|parts| parts.join("."))
    };
    let bare = path.with_extension("");
    let relative = || Some(&*bare).filter(|path| path.is_relative()).and_then(dotted);
    let found = directories.filter_map(|directory| bare.strip_prefix(directory).ok()).find_map(dotted);
    found.or_else(relative).unwrap_or_else(|| {
        path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
    })
}

fn not_found(name: &str, config: &LuaConfig) -> String {
    let file = name.replace('.', "/");
    let dirs = config.app_dirs.iter().map(|dir| dir.display().to_string()).chain([".".to_string()]);
    let places: Vec<String> =
        dirs.flat_map(|dir| [format!("{dir}/{file}.lua"), format!("{dir}/{file}/init.lua")]).collect();
    let here = std::env::current_dir().map_or_else(|_| String::new(), |here| format!(" in {}", here.display()));
    format!(
        "module '{name}' not found: looked for {}{here}, and in LUA_PATH and LUA_CPATH; start tine in the directory of its \
         modules, or name that with --app-dir",
        places.join(", ")
    )
}
