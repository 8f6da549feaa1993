//! Lua applications over the real binary; one behaviour a file. One program, because all of it runs under each Lua:
//! `cargo test -p tine --test lua`, and again with `--no-default-features --features luajit`.

#[path = "../support/mod.rs"]
mod support;

mod answers_are_framed;
mod apps_write_to_the_log;
mod chunks_are_asked_for_when_there_is_room;
mod clients_that_leave_end_their_request;
mod close_is_called_once;
mod environ_has_every_key;
mod environ_keeps_what_the_app_sets;
mod environ_survives_its_request;
mod errors_become_500;
mod input_is_read_as_fast_as_the_app_reads;
mod input_reads_bytes_lines_and_all;
mod nibiru_bugs_are_not_ours;
mod sleep_suspends_only_its_request;
mod start_response_is_called_once;
mod start_response_takes_three_forms;
mod unread_bodies_hurt_nobody;
mod what_apps_return;
mod whole_answers_have_a_length;
