//! Lua applications over the real binary; one behaviour a file. One program, because all of it runs under each Lua:
//! `cargo test -p tine --test lua`, and again with `--no-default-features --features luajit`.

#[path = "../support/mod.rs"]
mod support;

mod a_body_that_is_not_sent_is_not_made;
mod a_framework_asks_where_its_app_is;
mod a_sleep_lets_others_have_their_turn;
mod c_modules_load;
mod the_examples_answer;
mod waits_pass_through_lua_not_through_c;
mod whole_answers_have_a_length;
