//! Lua applications served by the real binary; one behaviour per file. One program, because all of it runs under each
//! Lua: `cargo test -p tine-cli --test lua`, and again with `--no-default-features --features luajit,aws-lc`.

#[path = "../support/mod.rs"]
mod support;

mod a_body_that_has_arrived_needs_no_wait;
mod a_body_that_is_not_sent_is_not_made;
mod a_browser_shows_an_error;
mod a_c_module_that_suspends_its_request_gets_a_500;
mod a_cancelled_function_does_not_run;
mod a_chunk_is_sent_before_the_next_is_asked_for;
mod a_descriptor_can_be_waited_for;
mod a_failed_upgrade_reports_its_reason;
mod a_framework_finds_its_app;
mod a_full_backlog_is_waited_for;
mod a_large_vm_is_collected_step_by_step;
mod a_lua_app_answers_a_handshake;
mod a_preflight_reports_errors_of_the_app;
mod a_preflight_that_hangs_can_be_stopped;
mod a_query_a_form_and_cookies_are_read;
mod a_reload_loads_the_app_anew;
mod a_request_that_times_out_is_closed;
mod a_saved_file_is_served_at_once;
mod a_session_is_signed;
mod a_shared_dictionary_is_one_for_all_workers;
mod a_short_sleep_yields_to_other_requests;
mod a_websocket_of_lua_ends_with_a_code;
mod a_websocket_of_lua_is_as_fast_as_both_ends;
mod a_worker_knows_its_number_while_it_loads;
mod an_aborted_worker_logs_where_it_hangs;
mod an_app_learns_that_its_client_has_left;
mod an_app_may_end_its_connection;
mod an_app_that_breaks_later_is_reported_in_its_own_words;
mod an_app_that_cannot_be_loaded_is_shown;
mod an_app_that_times_out_is_interrupted;
mod an_exhausted_vm_is_replaced;
mod an_interruption_affects_only_its_request;
mod an_upload_is_read_part_by_part;
mod answers_are_framed;
mod apps_write_to_the_log;
mod bodies_over_max_body_get_413;
mod c_modules_load;
mod child_processes_get_the_servers_original_signals_and_limits;
mod chunks_are_asked_for_when_there_is_room;
mod close_is_called_once;
mod connections_left_in_a_pool_are_bounded;
mod cookies_are_set_as_browsers_keep_them;
mod coroutines_of_a_websocket_wait_apart;
mod coroutines_of_an_abandoned_request_are_closed;
mod debug_shows_errors_to_clients;
mod disconnected_clients_end_their_request;
mod environ_has_every_key;
mod environ_keeps_what_the_app_sets;
mod environ_knows_the_client_behind_a_proxy;
mod environ_survives_its_request;
mod errors_become_500;
mod errors_outside_of_requests_are_counted;
mod every_error_of_a_request_names_it;
mod exhausted_memory_is_a_500_and_a_new_worker;
mod files_are_sent_by_the_kernel;
mod functions_run_outside_of_requests;
mod hostile_forms_end_with_a_status;
mod input_is_read_as_fast_as_the_app_reads;
mod input_reads_bytes_lines_and_all;
mod json_is_converted_both_ways;
mod memory_does_not_grow;
mod metrics_of_an_app_are_exact_over_workers;
mod modules_are_found_in_order;
mod named_files_are_sent_like_static_ones;
mod names_that_are_never_answered_hold_nothing_up;
mod nibiru_bugs_are_not_ours;
mod no_app_switches_the_timeout_off;
mod one_worker_is_elected;
mod only_request_timeout_sets_a_hook;
mod pools_tell_tls_connections_apart;
mod printed_lines_appear_at_once;
mod published_messages_reach_all_workers;
mod random_numbers_differ_between_workers;
mod random_requests_come_back_as_sent;
mod requests_wait_for_sockets_together;
mod sleep_suspends_only_its_request;
mod sockets_end_with_their_requests;
mod sockets_send_and_receive;
mod sockets_speak_tls;
mod sockets_verify_their_servers;
mod start_response_is_called_once;
mod start_response_takes_three_forms;
mod the_examples_answer;
mod the_server_conforms;
mod unread_bodies_are_dropped;
mod waiting_for_the_client_is_not_the_apps_time;
mod waits_pass_through_lua_not_through_c;
mod what_apps_return;
mod whole_answers_have_a_length;
mod work_goes_on_after_the_response;
mod workers_are_told_of_their_start_and_end;
mod wsapi_applications_run;

// The cases are those of the built-in echo.
#[path = "../it/websocket_passes_autobahn_close.rs"]
mod websocket_passes_autobahn_close;
#[path = "../it/websocket_passes_autobahn_framing.rs"]
mod websocket_passes_autobahn_framing;
#[path = "../it/websocket_passes_autobahn_limits.rs"]
mod websocket_passes_autobahn_limits;
#[path = "../it/websocket_passes_autobahn_utf8.rs"]
mod websocket_passes_autobahn_utf8;

const TRANSPORT: support::Transport = support::Transport::Plain;

/// What Autobahn's cases talk to.
fn websocket_echo() -> support::Server {
    let echo = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/websocket.lua");
    support::lua::serve_file(echo, &["--workers", "2"])
}
