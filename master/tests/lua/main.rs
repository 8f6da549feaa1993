//! Lua applications over the real binary; one behaviour a file. One program, because all of it runs under each Lua:
//! `cargo test -p tine --test lua`, and again with `--no-default-features --features luajit`.

#[path = "../support/mod.rs"]
mod support;

mod a_body_that_is_not_sent_is_not_made;
mod a_chunk_is_sent_before_the_next_is_asked_for;
mod a_failed_upgrade_tells_its_reason;
mod a_framework_asks_where_its_app_is;
mod a_preflight_says_what_is_wrong;
mod a_preflight_that_hangs_can_be_stopped;
mod a_reload_loads_the_app_anew;
mod a_request_out_of_time_is_closed;
mod a_request_that_a_c_module_suspends_is_in_no_others_way;
mod a_sleep_lets_others_have_their_turn;
mod a_worker_knows_its_number_while_it_loads;
mod a_worker_told_to_abort_says_where_it_hangs;
mod an_app_may_end_its_connection;
mod an_app_out_of_time_is_interrupted;
mod an_app_that_breaks_later_is_told_in_its_own_words;
mod an_exhausted_vm_is_replaced;
mod an_interruption_harms_nobody_else;
mod answers_are_framed;
mod apps_write_to_the_log;
mod bodies_over_max_body_get_413;
mod c_modules_load;
mod children_get_what_the_server_was_started_with;
mod chunks_are_asked_for_when_there_is_room;
mod clients_that_leave_end_their_request;
mod close_is_called_once;
mod environ_has_every_key;
mod environ_keeps_what_the_app_sets;
mod environ_survives_its_request;
mod errors_become_500;
mod every_error_of_a_request_names_it;
mod exhausted_memory_is_a_500_and_a_new_worker;
mod input_is_read_as_fast_as_the_app_reads;
mod input_reads_bytes_lines_and_all;
mod memory_does_not_grow;
mod modules_are_found_in_their_order;
mod nibiru_bugs_are_not_ours;
mod no_app_switches_the_timeout_off;
mod only_request_timeout_sets_a_hook;
mod printed_lines_are_seen_at_once;
mod random_numbers_differ_between_workers;
mod random_requests_come_back_as_sent;
mod sleep_suspends_only_its_request;
mod start_response_is_called_once;
mod start_response_takes_three_forms;
mod the_examples_answer;
mod the_server_conforms;
mod unread_bodies_hurt_nobody;
mod waiting_for_the_client_is_not_the_apps_time;
mod waits_pass_through_lua_not_through_c;
mod what_a_request_is_in_the_middle_of_is_closed_when_it_is_left;
mod what_apps_return;
mod whole_answers_have_a_length;
