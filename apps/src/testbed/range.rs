//! `/range/{size}`: the bytes of `/bin/{size}`, whole or the parts that a Range field asks for. Byte i of one is byte i
//! of the other.

use super::bin::{self, Pattern};
use super::{etag, numbers};
use crate::pieces;
use tine_worker::app::Answer;
use tine_worker::http::conditional::EntityTag;
use tine_worker::http::range::{self, ByteRange, Multipart, MultipartPiece, Selection};
use tine_worker::http::{Head, Request, Response, StatusCode};

const CONTENT_TYPE: &str = "application/octet-stream";
/// Never in the pattern, which has neither small letters nor line ends.
const BOUNDARY: &str = "partofthepattern";

pub fn answer(size: &str, request: &Request<'_>, pattern: Pattern) -> Answer {
    if size.is_empty() {
        let text = "Please specify size: /range/1M, /range/10M, /range/10000G or /range/11111, etc.\n";
        return Response::text(StatusCode::BAD_REQUEST, text).into();
    }
    let Some(size) = numbers::size(size) else {
        return Response::text(StatusCode::BAD_REQUEST, bin::INVALID_SIZE).into();
    };
    let etag = pattern.etag_of(size);
    let etag = EntityTag::new(&etag, false).expect("digits and a dash");
    if let Some(response) = etag::unless_preconditions_hold(request, etag) {
        return response.into();
    }
    let selection = range::select(request.method(), request.headers(), etag::validators(etag), size);
    let head = |status| {
        let head = Head::new(status).header("Accept-Ranges", "bytes");
        // A client that sends If-Range has these fields already, so they are left out (RFC 9110, 15.3.7).
        let is_known = status == StatusCode::PARTIAL_CONTENT && request.headers().has("if-range");
        let head = if is_known { head } else { head.content_type(CONTENT_TYPE) };
        let fields = etag::cache_fields(etag).into_iter().filter(|(name, _)| !(is_known && *name == "Last-Modified"));
        fields.fold(head, |head, (name, value)| head.header(name, value))
    };
    let (head, pieces) = match selection {
        Selection::Whole => {
            let whole = ByteRange { first: 0, last: size - 1 };
            (head(StatusCode::OK).length(size), vec![MultipartPiece::Bytes(whole)])
        }
        Selection::Part(part) => {
            let head = head(StatusCode::PARTIAL_CONTENT).header("Content-Range", part.content_range(size));
            (head.length(part.length()), vec![MultipartPiece::Bytes(part)])
        }
        Selection::Parts(parts) => {
            let Multipart { content_type, length, pieces } = Multipart::new(&parts, size, CONTENT_TYPE, BOUNDARY);
            (head(StatusCode::PARTIAL_CONTENT).content_type(content_type).length(length), pieces)
        }
        Selection::Unsatisfiable => {
            let text = format!("416 Range Not Satisfiable: the positions are 0 to {}\n", size - 1);
            return Response::text(StatusCode::RANGE_NOT_SATISFIABLE, text)
                .header("Content-Range", range::unsatisfied_content_range(size))
                .header("Accept-Ranges", "bytes")
                .into();
        }
    };
    pieces::answer(head, pieces, move |out, range| pattern.write(out, range.first, range.length()))
}
