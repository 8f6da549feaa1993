//! A format of directives as its worker uses it: the values by when they are known, with the text that precedes each;
//! what never changes in this worker is text.

use super::datum::Room;
use super::fields::Wanted;
use super::pen::Literal;
use crate::app::WorkerInfo;
use tine_common::access_log::{Piece, Stage, Time, Value};

/// The most that a value of the server's own adds to a line.
const OWN_BYTES_MAX: usize = 48;

#[derive(Debug)]
pub struct Template {
    pub runs: Vec<Run>,
    /// The fields of the request that are values, or parts of values.
    pub wanted: Wanted,
    /// What foreign values may fill.
    pub room: Room,
    /// The longest line, with its newline.
    pub line_bytes_max: usize,
    pub has_response_fields: bool,
    /// The address that the client connected to is a value: the kernel has to be asked for it.
    pub needs_local_address: bool,
    /// What was agreed on in a TLS session is a value.
    pub needs_tls: bool,
}

/// Values that follow each other in a line and are known at the same time.
#[derive(Debug)]
pub struct Run {
    pub stage: Stage,
    pub ops: Vec<Op>,
}

/// Text, and then a value.
#[derive(Debug)]
pub struct Op {
    pub before: Literal,
    pub what: What,
    /// As [`Value::is_foreign`].
    pub is_foreign: bool,
    /// Its place in the format.
    pub place: usize,
}

#[derive(Debug)]
pub enum What {
    Nothing,
    /// A field of the request, by its place among those that are wanted.
    Field(usize),
    /// It has to be decoded.
    User,
    /// Of the request's beginning or its end, by the stage.
    Time(Time),
    Value(Value),
}

impl Template {
    /// `line_bytes_max`: with the newline.
    pub fn new(pieces: &[Piece], line_bytes_max: usize, worker: &WorkerInfo, has_ids: bool) -> Template {
        let (mut runs, mut wanted, mut text) = (Vec::<Run>::new(), Wanted::default(), Vec::new());
        let (mut fixed_bytes, mut foreign) = (1, 0);
        let (mut has_response_fields, mut needs_local_address, mut needs_tls) = (false, false, false);
        for (place, piece) in pieces.iter().enumerate() {
            let value = match piece {
                Piece::Literal(literal) => {
                    text.extend_from_slice(literal);
                    continue;
                }
                Piece::Value(value) => value,
            };
            if let Some(constant) = constant(value, worker, has_ids) {
                text.extend_from_slice(constant.as_bytes());
                continue;
            }
            let is_foreign = value.is_foreign();
            foreign += usize::from(is_foreign);
            fixed_bytes += text.len() + if is_foreign { "  HTTP/1.1".len() } else { OWN_BYTES_MAX };
            has_response_fields |= value.stage() == Stage::Response;
            needs_local_address |= matches!(value, Value::LocalAddress | Value::LocalPort);
            needs_tls |= value.is_of_tls();
            let what = match (wanted.add(value), value) {
                (Some(place), _) => What::Field(place),
                (None, Value::User) => What::User,
                (None, Value::Began(time) | Value::Ended(time)) => What::Time(time.clone()),
                (None, value) => What::Value(value.clone()),
            };
            let before = Literal::new(&std::mem::take(&mut text));
            push_op(&mut runs, value.stage(), Op { before, what, is_foreign, place });
        }
        fixed_bytes += text.len();
        if !text.is_empty() {
            let stage = runs.last().map_or(Stage::Request, |run| run.stage);
            let (before, what) = (Literal::new(&text), What::Nothing);
            push_op(&mut runs, stage, Op { before, what, is_foreign: false, place: pieces.len() });
        }
        let room = Room { bytes: line_bytes_max.saturating_sub(fixed_bytes), values: foreign };
        Template { runs, wanted, room, line_bytes_max, has_response_fields, needs_local_address, needs_tls }
    }
}

fn push_op(runs: &mut Vec<Run>, stage: Stage, op: Op) {
    match runs.last_mut() {
        Some(run) if run.stage == stage => run.ops.push(op),
        _ => runs.push(Run { stage, ops: vec![op] }),
    }
}

/// What a value comes to if that is known before any request.
fn constant(value: &Value, worker: &WorkerInfo, has_ids: bool) -> Option<String> {
    let pid = std::process::id();
    match value {
        Value::RequestId if !has_ids => Some("-".to_string()),
        Value::Worker => Some(worker.index.to_string()),
        Value::Generation => Some(worker.generation.to_string()),
        Value::Pid => Some(pid.to_string()),
        Value::PidInBrackets => Some(format!("<{pid}>")),
        _ => None,
    }
}
