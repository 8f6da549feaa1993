//! `/cookies/{n}`: sets n cookies, and lists those of the request.

use super::query;
use serde_json::{Map, Value, json};
use tine_worker::app::Answer;
use tine_worker::http::{Headers, Request, Response, StatusCode};

const COUNT_MAX: u64 = 1000;

pub fn answer(count: &str, request: &Request<'_>) -> Answer {
    if count.is_empty() {
        return Response::text(StatusCode::BAD_REQUEST, "Please specify how many: /cookies/3; /cookies/0 sets none\n")
            .into();
    }
    let count = match query::number_of("the number of cookies", count, 0..=COUNT_MAX) {
        Ok(count) => count,
        Err(text) => return Response::text(StatusCode::BAD_REQUEST, text).into(),
    };
    let json = json!({ "set": count, "cookies": cookies_of(request.headers()) });
    let response = Response::json(StatusCode::OK, json.to_string());
    let set = |response: Response, i| response.header("Set-Cookie", format!("cookie-{i}=value-{i}; Path=/"));
    (1..=count).fold(response, set).into()
}

/// The cookies of a request (RFC 6265, 4.2.1), from all its Cookie fields. For each name the last value counts.
fn cookies_of(headers: Headers<'_>) -> Map<String, Value> {
    let fields = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    let pairs = fields.flat_map(|(_, value)| value.split(|&b| b == b';')).map(<[u8]>::trim_ascii);
    pairs.filter(|pair| !pair.is_empty()).map(name_and_value).collect()
}

fn name_and_value(pair: &[u8]) -> (String, Value) {
    let text = String::from_utf8_lossy(pair);
    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
    (name.to_string(), value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_split_at_the_first_equals_sign() {
        for (pair, name, value) in [
            (&b"a=b"[..], "a", "b"),
            (b"a=b=c", "a", "b=c"),
            (b"a=\"b\"", "a", "\"b\""),
            (b"a=", "a", ""),
            (b"a", "a", ""),
            (b"=a", "", "a"),
            (b"a=\xff", "a", "\u{fffd}"),
        ] {
            assert_eq!(name_and_value(pair), (name.to_string(), value.into()));
        }
    }
}
