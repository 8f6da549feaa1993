//! Lua applications over the real binary; one behaviour a file. One program, because all of it runs under each Lua:
//! `cargo test -p tine --test lua`, and again with `--no-default-features --features luajit`.

#[path = "../support/mod.rs"]
mod support;

mod a_request_out_of_time_is_closed;
mod an_app_out_of_time_is_interrupted;
mod an_interruption_harms_nobody_else;
mod bodies_over_max_body_get_413;
mod exhausted_memory_is_a_500_and_a_new_worker;
mod memory_does_not_grow;
mod only_request_timeout_sets_a_hook;
mod random_requests_come_back_as_sent;
mod the_server_conforms;
mod waiting_for_the_client_is_not_the_apps_time;
mod whole_answers_have_a_length;
