//! An application that witnesses how many requests it is given, in memory that its workers share.
//!
//! GET /hold is answered when it is let pass: GET /release/3 lets three more pass, in the order in which they were begun; the
//! response is the number in that order. GET /counts: requests held now, the most that were at once, and all begun. GET /mark
//! is answered at once; GET /marks lists the earliest and the latest time, in microseconds, at which each of those was
//! admitted: that of its worker's turn, and that of the call.
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use tine::app::{Answer, App, AppError, Cx, Exchange, Out, Pull};
use tine::http::{Head, Request, Response, StatusCode};
use tine_common::sys::mmap::{Line, shared_lines};

const MARKS_MAX: usize = 100_000;
const WORKERS_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Witness {
    /// Held now, the most at once, begun, let pass; marks.
    words: &'static Line,
    /// Held in each worker: those of a worker that was killed are forgotten by the next one.
    workers: &'static [Line],
    marks: &'static [Line],
    epoch: Instant,
}

const HELD: usize = 0;
const PEAK: usize = 1;
const BEGUN: usize = 2;
const RELEASED: usize = 3;
const MARKS: usize = 4;

struct Turnstile {
    witness: Witness,
    worker: usize,
}

struct Hold {
    witness: Witness,
    worker: usize,
    number: u64,
}

impl Witness {
    fn held(&self) -> u64 {
        self.workers.iter().map(|line| line.words[0].load(SeqCst)).sum()
    }

    fn mark(&self, now: Instant) {
        let at = self.words.words[MARKS].fetch_add(1, SeqCst) as usize;
        let us = |at: Instant| at.duration_since(self.epoch).as_micros() as u64;
        if let Some(line) = self.marks.get(at / 8) {
            line.words[at % 8 * 2].store(us(now), SeqCst);
            line.words[at % 8 * 2 + 1].store(us(Instant::now()) + 1, SeqCst);
        }
    }

    fn marks(&self) -> String {
        let count = (self.words.words[MARKS].load(SeqCst) as usize).min(MARKS_MAX);
        let word = |place: usize| self.marks[place / 16].words[place % 16].load(SeqCst);
        (0..count).map(|mark| format!("{} {}\n", word(2 * mark), word(2 * mark + 1))).collect()
    }
}

impl App for Turnstile {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let Witness { words: Line { words }, .. } = self.witness;
        let text = match request.path() {
            "/hold" => {
                self.witness.workers[self.worker].words[0].fetch_add(1, SeqCst);
                words[PEAK].fetch_max(words[HELD].fetch_add(1, SeqCst) + 1, SeqCst);
                let number = words[BEGUN].fetch_add(1, SeqCst);
                return Answer::exchange(Hold { witness: self.witness, worker: self.worker, number });
            }
            "/mark" => {
                self.witness.mark(cx.now());
                "marked\n".to_string()
            }
            "/marks" => self.witness.marks(),
            "/counts" => {
                format!("{} {} {}", self.witness.held(), words[PEAK].load(SeqCst), words[BEGUN].load(SeqCst))
            }
            path => {
                let more = path.strip_prefix("/release/").and_then(|more| more.parse().ok()).unwrap_or(0);
                words[RELEASED].fetch_add(more, SeqCst);
                "ok\n".to_string()
            }
        };
        Response::text(StatusCode::OK, text).into()
    }
}

impl Exchange for Hold {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if self.number >= self.witness.words.words[RELEASED].load(SeqCst) {
            return Ok(Pull::NotBefore(cx.now() + Duration::from_millis(2)));
        }
        let text = self.number.to_string();
        out.head(Head::new(StatusCode::OK).length(text.len() as u64))?;
        out.write(text.as_bytes())?;
        Ok(Pull::End)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.witness.words.words[HELD].fetch_sub(1, SeqCst);
        self.witness.workers[self.worker].words[0].fetch_sub(1, SeqCst);
    }
}

pub fn main() -> std::process::ExitCode {
    let lines = |count| shared_lines(count).expect("memory");
    let (words, workers, marks) = (&lines(1)[0], lines(WORKERS_MAX), lines(MARKS_MAX / 8));
    let witness = Witness { words, workers, marks, epoch: Instant::now() };
    tine_cli::serve("a turnstile", move |worker| {
        witness.workers[worker.index].words[0].store(0, SeqCst);
        Ok(Box::new(Turnstile { witness, worker: worker.index }))
    })
}
