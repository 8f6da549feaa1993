//! Lua applications over the real binary; one behaviour a file. One program, because all of it runs under each Lua:
//! `cargo test -p tine --test lua`, and again with `--no-default-features --features luajit`.

#[path = "../support/mod.rs"]
mod support;

mod whole_answers_have_a_length;
