//! The entries of the in-flight table for a protocol that answers several requests of a connection at a time: each request that
//! outlives its call holds one, if one is free.

use crate::app::Cx;
use tine_common::in_flight_table::{Before, OwnEntry};

pub struct InFlightEntry(OwnEntry);

impl InFlightEntry {
    /// The request that has just been passed to the app goes on.
    pub fn keep(cx: &Cx<'_>) -> Option<InFlightEntry> {
        cx.in_flight_table()?.keep_own().map(InFlightEntry)
    }

    /// The worker goes on with a request, which has this entry if one was free.
    pub fn turn_to(entry: Option<&InFlightEntry>, cx: &Cx<'_>) {
        if let Some(table) = cx.in_flight_table() {
            table.turn_to(Before::InFlight(entry.map(|entry| entry.0.kept())));
        }
    }

    /// The worker goes on with a WebSocket.
    pub fn turn_to_websocket(cx: &Cx<'_>) {
        if let Some(table) = cx.in_flight_table() {
            table.turn_to(Before::WebSocket);
        }
    }

    /// The worker is in none of the connection's requests.
    pub fn turn_away(cx: &Cx<'_>) {
        if let Some(table) = cx.in_flight_table() {
            table.turn_away();
        }
    }
}
