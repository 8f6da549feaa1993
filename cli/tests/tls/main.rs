//! Claims of the test program `it`, once more with HTTPS in place of HTTP: the same files, with another transport in the
//! harness. What belongs to TLS alone is tested there.

#[path = "../it/apps/mod.rs"]
mod apps;
#[path = "../support/mod.rs"]
mod support;

#[path = "../it/a_body_is_read_as_fast_as_the_app_takes_it.rs"]
mod a_body_is_read_as_fast_as_the_app_takes_it;
#[path = "../it/a_body_that_never_comes_costs_no_cpu.rs"]
mod a_body_that_never_comes_costs_no_cpu;
#[path = "../it/a_client_that_leaves_is_noticed_at_once.rs"]
mod a_client_that_leaves_is_noticed_at_once;
#[path = "../it/a_client_that_resets_is_forgotten_at_once.rs"]
mod a_client_that_resets_is_forgotten_at_once;
#[path = "../it/a_file_truncated_while_it_is_sent_cuts_its_connection.rs"]
mod a_file_truncated_while_it_is_sent_cuts_its_connection;
#[path = "../it/a_reset_comes_after_the_last_byte.rs"]
mod a_reset_comes_after_the_last_byte;
#[path = "../it/bin_sends_its_size.rs"]
mod bin_sends_its_size;
#[path = "../it/clients_that_never_read_are_cut.rs"]
mod clients_that_never_read_are_cut;
#[path = "../it/delay_answers_late.rs"]
mod delay_answers_late;
#[path = "../it/drain_cuts_and_counts_what_is_left.rs"]
mod drain_cuts_and_counts_what_is_left;
#[path = "../it/drain_delay_keeps_serving_with_health_503.rs"]
mod drain_delay_keeps_serving_with_health_503;
#[path = "../it/drain_finishes_what_is_in_flight.rs"]
mod drain_finishes_what_is_in_flight;
#[path = "../it/drain_under_load_fails_no_request.rs"]
mod drain_under_load_fails_no_request;
#[path = "../it/each_request_has_a_line_in_the_access_log.rs"]
mod each_request_has_a_line_in_the_access_log;
#[path = "../it/early_answers_are_not_lost.rs"]
mod early_answers_are_not_lost;
#[path = "../it/expectations_are_met_or_refused.rs"]
mod expectations_are_met_or_refused;
#[path = "../it/faults_are_exact_on_the_wire.rs"]
mod faults_are_exact_on_the_wire;
#[path = "../it/files_are_served_with_what_clients_need.rs"]
mod files_are_served_with_what_clients_need;
#[path = "../it/half_closed_clients_get_their_answer.rs"]
mod half_closed_clients_get_their_answer;
#[path = "../it/head_is_answered_like_get_without_a_body.rs"]
mod head_is_answered_like_get_without_a_body;
#[path = "../it/headers_have_the_requested_number_and_size.rs"]
mod headers_have_the_requested_number_and_size;
#[path = "../it/http_10_closes_unless_kept.rs"]
mod http_10_closes_unless_kept;
#[path = "../it/huge_headers_cost_no_memory.rs"]
mod huge_headers_cost_no_memory;
#[path = "../it/idle_connections_are_closed_silently.rs"]
mod idle_connections_are_closed_silently;
#[path = "../it/idle_connections_make_room.rs"]
mod idle_connections_make_room;
#[path = "../it/impossible_lengths_get_413.rs"]
mod impossible_lengths_get_413;
#[path = "../it/interim_responses_come_before_the_answer.rs"]
mod interim_responses_come_before_the_answer;
#[path = "../it/keep_alive_serves_one_after_another.rs"]
mod keep_alive_serves_one_after_another;
#[path = "../it/late_bytes_do_not_cut_the_last_answer.rs"]
mod late_bytes_do_not_cut_the_last_answer;
#[path = "../it/no_faults_disables_all_faults.rs"]
mod no_faults_disables_all_faults;
#[path = "../it/pipelined_requests_are_answered_in_order.rs"]
mod pipelined_requests_are_answered_in_order;
#[path = "../it/precompressed_siblings_are_chosen.rs"]
mod precompressed_siblings_are_chosen;
#[path = "../it/ranges_are_the_bytes_of_bin.rs"]
mod ranges_are_the_bytes_of_bin;
#[path = "../it/reloads_fail_no_request.rs"]
mod reloads_fail_no_request;
#[path = "../it/requests_may_arrive_byte_by_byte.rs"]
mod requests_may_arrive_byte_by_byte;
#[path = "../it/responses_that_are_cut_are_counted.rs"]
mod responses_that_are_cut_are_counted;
#[path = "../it/slow_heads_get_408.rs"]
mod slow_heads_get_408;
#[path = "../it/slow_readers_do_not_grow_memory.rs"]
mod slow_readers_do_not_grow_memory;
#[path = "../it/slow_readers_of_files_cost_no_memory.rs"]
mod slow_readers_of_files_cost_no_memory;
#[path = "../it/sse_sends_numbered_events.rs"]
mod sse_sends_numbered_events;
#[path = "../it/stalled_bodies_get_408.rs"]
mod stalled_bodies_get_408;
#[path = "../it/stalls_and_dribbles_take_their_time.rs"]
mod stalls_and_dribbles_take_their_time;
#[path = "../it/stream_sends_its_chunks.rs"]
mod stream_sends_its_chunks;
#[path = "../it/the_echo_is_compressed_as_accepted.rs"]
mod the_echo_is_compressed_as_accepted;
#[path = "../it/the_smallest_watermarks_serve_every_endpoint.rs"]
mod the_smallest_watermarks_serve_every_endpoint;
#[path = "../it/unread_bodies_hold_nothing_up.rs"]
mod unread_bodies_hold_nothing_up;
#[path = "../it/upload_counts_any_size.rs"]
mod upload_counts_any_size;
#[path = "../it/websocket_close_and_ticker.rs"]
mod websocket_close_and_ticker;
#[path = "../it/websocket_drain_sends_1001.rs"]
mod websocket_drain_sends_1001;
#[path = "../it/websocket_handshakes_are_checked.rs"]
mod websocket_handshakes_are_checked;
#[path = "../it/websocket_limits.rs"]
mod websocket_limits;
#[path = "../it/websocket_memory_follows_what_was_received.rs"]
mod websocket_memory_follows_what_was_received;
#[path = "../it/websocket_messages_over_the_limit_end_with_1009.rs"]
mod websocket_messages_over_the_limit_end_with_1009;
#[path = "../it/websocket_passes_autobahn_close.rs"]
mod websocket_passes_autobahn_close;
#[path = "../it/websocket_passes_autobahn_framing.rs"]
mod websocket_passes_autobahn_framing;
#[path = "../it/websocket_passes_autobahn_limits.rs"]
mod websocket_passes_autobahn_limits;
#[path = "../it/websocket_passes_autobahn_utf8.rs"]
mod websocket_passes_autobahn_utf8;
#[path = "../it/websocket_peers_that_do_not_read_cost_little.rs"]
mod websocket_peers_that_do_not_read_cost_little;

const TRANSPORT: support::Transport = support::Transport::Tls;

/// What Autobahn's cases talk to.
fn websocket_echo() -> support::Server {
    support::Server::start(&["--workers", "2"])
}
