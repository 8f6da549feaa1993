//! A body of pieces, in order: the text that frames the parts of a multipart response, and ranges of a representation,
//! each of which may take several pulls.

use std::collections::VecDeque;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::Head;
use tine_worker::http::range::{ByteRange, MultipartPiece};

/// `write` writes bytes from the start of a range and returns how many; it is called again for the rest.
pub fn answer(
    head: Head,
    pieces: Vec<MultipartPiece>,
    write: impl FnMut(&mut Out<'_>, ByteRange) -> Result<u64, AppError> + 'static,
) -> Answer {
    Answer::exchange(Pieces { head: Some(head), pieces: pieces.into(), write })
}

struct Pieces<W> {
    /// Until it is written.
    head: Option<Head>,
    /// What is left to write.
    pieces: VecDeque<MultipartPiece>,
    write: W,
}

impl<W: FnMut(&mut Out<'_>, ByteRange) -> Result<u64, AppError>> Exchange for Pieces<W> {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if let Some(head) = self.head.take() {
            out.head(head)?;
        }
        if !out.has_room() {
            return Ok(Pull::More);
        }
        match self.pieces.pop_front() {
            None => return Ok(Pull::End),
            Some(MultipartPiece::Framing(text)) => out.write(text.as_bytes())?,
            Some(MultipartPiece::Bytes(mut range)) => {
                let written = (self.write)(out, range)?;
                if written < range.length() {
                    range.first += written;
                    self.pieces.push_front(MultipartPiece::Bytes(range));
                }
            }
        }
        Ok(if self.pieces.is_empty() { Pull::End } else { Pull::More })
    }
}
