//! The response with one representation: preconditions first, then ranges (RFC 9110, 13.2.2, 14.2).

use super::representation::Representation;
use super::sending;
use std::rc::Rc;
use std::time::SystemTime;
use tine_worker::app::Answer;
use tine_worker::http::conditional::{Precondition, evaluate};
use tine_worker::http::range::{self, Multipart, Selection};
use tine_worker::http::{Headers, Response, StatusCode};

/// To a GET or a HEAD with these fields; `date`: that of the response.
pub fn answer(representation: Rc<Representation>, method: &str, headers: Headers<'_>, date: SystemTime) -> Answer {
    let validators = representation.validators(date);
    match evaluate(method, headers, validators) {
        Precondition::Holds => {}
        Precondition::NotModified => {
            return Response::with_head(representation.dated_head(StatusCode::NOT_MODIFIED, date), "").into();
        }
        Precondition::Failed => {
            let text = "412 Precondition Failed: the file does not meet the conditions of the request\n";
            return refused(&representation, Response::text(StatusCode::PRECONDITION_FAILED, text)).into();
        }
    }
    let selection = range::select(method, headers, validators, representation.size);
    send_selection(representation, selection, method, headers, date)
}

fn send_selection(
    representation: Rc<Representation>,
    selection: Selection,
    method: &str,
    headers: Headers<'_>,
    date: SystemTime,
) -> Answer {
    let size = representation.size;
    let partial = || match headers.has("if-range") {
        true => representation.head(StatusCode::PARTIAL_CONTENT, date),
        false => representation.full_head(StatusCode::PARTIAL_CONTENT, date),
    };
    let selection = match selection {
        Selection::Parts(_) if representation.is_coded() => Selection::Whole,
        selection => selection,
    };
    match selection {
        Selection::Whole => {
            let head = representation.full_head(StatusCode::OK, date);
            sending::send_whole(head, representation, method == "HEAD")
        }
        Selection::Part(part) => {
            let head = partial().header("Content-Range", part.content_range(size));
            sending::send_part(head, representation, part.first, part.length())
        }
        Selection::Parts(parts) => {
            let boundary = uuid::Uuid::new_v4().simple().to_string();
            let multipart = Multipart::new(&parts, size, &representation.content_type, &boundary);
            let head = partial().content_type(multipart.content_type);
            sending::send_pieces(head, representation, multipart.length, multipart.pieces)
        }
        Selection::Unsatisfiable => {
            let text = format!("416 Range Not Satisfiable: the file has {size} bytes\n");
            refused(&representation, Response::text(StatusCode::RANGE_NOT_SATISFIABLE, text))
                .header("Content-Range", range::unsatisfied_content_range(size))
                .header("Accept-Ranges", "bytes")
                .into()
        }
    }
}

fn refused(representation: &Representation, response: Response) -> Response {
    if representation.is_negotiated() { negotiated(response) } else { response }
}

/// Adds Vary, whatever the status: another Accept-Encoding might have led to another response (RFC 9110, 12.5.5).
pub fn negotiated(response: Response) -> Response {
    response.header("Vary", "Accept-Encoding")
}
