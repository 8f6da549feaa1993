//! An application that counts: each request in a counter, declared before the first, by its path; /open opens a gauge; and the length
//! of each path in a histogram that the first request of a worker declares.
use tine::app::metrics::{Counter, Gauge, Histogram, Over};
use tine::app::{Answer, App, Cx};
use tine::http::{Request, Response, StatusCode};

struct Counting {
    requests: Counter,
    open: Gauge,
    lengths: Option<Histogram>,
}

impl App for Counting {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let path = request.path();
        let declared = || cx.metrics().histogram("counting_path_bytes", "Paths.", &[], &[5.0, 10.0]).expect("declared");
        let lengths = self.lengths.get_or_insert_with(declared);
        lengths.observe(&[], path.len() as f64).expect("there is room");
        self.requests.add(&[path], 1.0).expect("there is room");
        if path == "/open" {
            self.open.add(&[], 1.0).expect("there is room");
        }
        Response::text(StatusCode::OK, "counted").into()
    }
}

pub fn main() -> std::process::ExitCode {
    tine_cli::serve("what counts", |worker| {
        let requests = worker.metrics.counter("counting_requests_total", "Requests.", &["path"])?;
        let open = worker.metrics.gauge("counting_open", "Open.", &[], Over::Sum)?;
        Ok(Box::new(Counting { requests, open, lengths: None }))
    })
}
