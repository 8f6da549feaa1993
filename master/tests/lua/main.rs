//! Lua applications over the real binary; one behaviour a file. One program, because all of it runs under each Lua:
//! `cargo test -p tine --test lua`, and again with `--no-default-features --features luajit`.

#[path = "../support/mod.rs"]
mod support;

mod a_body_that_is_not_sent_is_not_made;
mod a_framework_asks_where_its_app_is;
mod a_preflight_says_what_is_wrong;
mod a_preflight_that_hangs_can_be_stopped;
mod a_sleep_lets_others_have_their_turn;
mod an_app_that_breaks_later_is_told_in_its_own_words;
mod an_exhausted_vm_is_replaced;
mod c_modules_load;
mod modules_are_found_in_their_order;
mod the_examples_answer;
mod waits_pass_through_lua_not_through_c;
mod whole_answers_have_a_length;
