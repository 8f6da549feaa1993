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
mod answers_are_framed;
mod apps_write_to_the_log;
mod c_modules_load;
mod chunks_are_asked_for_when_there_is_room;
mod clients_that_leave_end_their_request;
mod close_is_called_once;
mod environ_has_every_key;
mod environ_keeps_what_the_app_sets;
mod environ_survives_its_request;
mod errors_become_500;
mod input_is_read_as_fast_as_the_app_reads;
mod input_reads_bytes_lines_and_all;
mod modules_are_found_in_their_order;
mod nibiru_bugs_are_not_ours;
mod sleep_suspends_only_its_request;
mod start_response_is_called_once;
mod start_response_takes_three_forms;
mod the_examples_answer;
mod unread_bodies_hurt_nobody;
mod waits_pass_through_lua_not_through_c;
mod what_apps_return;
mod whole_answers_have_a_length;
