//! `/headers/{n}`: a response with n header fields, to find a proxy's limits.

use super::query;
use tine_worker::app::Answer;
use tine_worker::http::{Request, Response, StatusCode};

const COUNT_MAX: u64 = 10_000;
/// All requested lines together. A head is queued whole, so this is the memory that one request can pin.
const HEADER_BYTES_MAX: u64 = 1 << 20;
const VALUE_BYTES_DEFAULT: u64 = 16;
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

pub fn answer(count: &str, request: &Request<'_>) -> Answer {
    let response = respond(count, request);
    response.unwrap_or_else(|text| Response::text(StatusCode::BAD_REQUEST, text)).into()
}

fn respond(count: &str, request: &Request<'_>) -> Result<Response, String> {
    if count.is_empty() {
        return Err("Please specify how many: /headers/10 or /headers/100?size=1000\n".into());
    }
    let count = query::number_of("the number of headers", count, 1..=COUNT_MAX)?;
    let value_bytes = query::number(request, "size", 0..=HEADER_BYTES_MAX)?.unwrap_or(VALUE_BYTES_DEFAULT);
    let header_bytes: u64 = (1..=count).map(|i| (format!("{}: \r\n", name(i)).len()) as u64 + value_bytes).sum();
    if header_bytes > HEADER_BYTES_MAX {
        return Err(format!(
            "{count} headers with values of {value_bytes} bytes are {header_bytes} bytes of header; at most \
             {HEADER_BYTES_MAX} are sent\n"
        ));
    }
    let value: String = ALPHABET.chars().cycle().take(value_bytes as usize).collect();
    let json = format!(r#"{{"headers":{count},"value_bytes":{value_bytes},"header_bytes":{header_bytes}}}"#);
    let response = Response::json(StatusCode::OK, json);
    Ok((1..=count).fold(response, |response, i| response.header(name(i), value.clone())))
}

fn name(i: u64) -> String {
    format!("X-Header-{i}")
}
