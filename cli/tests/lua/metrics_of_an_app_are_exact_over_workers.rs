//! tine.metrics: what an application counts in any worker is added up, outlives its worker, and is checked when it is
//! declared.

use crate::support::admin::{admin_of, get, workers_of};
use crate::support::lua::{folder_with, serve, text_of};
use crate::support::{TINE, eventually, send_signal};
use nix::sys::signal::Signal;
use std::process::Command;

const APP: &str = r#"
local orders = tine.metrics.counter("shop_orders_total", "Orders.", { "kind", "paid" })
local never = tine.metrics.counter("shop_never_total", "Never.", {})
local open = tine.metrics.gauge("shop_open", "Open.", {}, "max")
local sizes = tine.metrics.histogram("shop_size_bytes", "Sizes.", {}, { 10, 100 })
local wrong = {
  { "no _total", function() tine.metrics.counter("shop_orders", "x", {}) end },
  { "a reserved name", function() tine.metrics.gauge("tine_x", "x", {}) end },
  { "labels", function() tine.metrics.gauge("x", "x", "kind") end },
  { "a name", function() tine.metrics.gauge(5, "x", {}) end },
  { "bounds", function() tine.metrics.histogram("x", "x", {}, { 2, 1 }) end },
  { "over", function() tine.metrics.gauge("x", "x", {}, "median") end },
  { "too few values", function() orders:inc(1, { "book" }) end },
  { "a negative change", function() orders:inc(-1, { "book", "yes" }) end },
  { "no number", function() open:set("7") end },
}
function app(environ, start_response)
  start_response("200 OK", {})
  if environ.PATH_INFO == "/wrong" then
    local said = {}
    for _, case in ipairs(wrong) do
      local ok, why = pcall(case[2])
      said[#said + 1] = case[1] .. ": " .. tostring(ok) .. " " .. tostring(why)
    end
    return table.concat(said, "\n")
  end
  orders:inc(nil, { "book", true })
  orders:inc(0.5, { "pen \"x\"", 1 })
  open:set(7)
  open:inc(-2)
  sizes:observe(#environ.PATH_INFO)
  return "done"
end
"#;

#[test]
fn what_an_app_counts_is_added_up_over_its_workers() {
    let server = serve(APP, &["--workers", "3", "--admin", "0"]);
    let admin = admin_of(&server);
    let metrics = || String::from_utf8(get(admin, "/metrics").body).expect("UTF-8");
    assert!(metrics().contains("\nshop_never_total 0\n"), "it is there before the first time: {}", metrics());
    for request in 0..30 {
        // The sixteenth byte is beyond the first bound.
        assert_eq!(text_of(&server, if request % 3 == 0 { "/a-longer-path" } else { "/short" }), "done");
    }
    let expected = [
        "# TYPE shop_orders_total counter\n",
        "\nshop_orders_total{kind=\"book\",paid=\"true\"} 30\n",
        "\nshop_orders_total{kind=\"pen \\\"x\\\"\",paid=\"1\"} 15\n",
        "\nshop_size_bytes_bucket{le=\"10\"} 20\n",
        "\nshop_size_bytes_count 30\n",
    ];
    let has_all = |text: &str| expected.iter().all(|line| text.contains(line));
    eventually("all are counted", || has_all(&metrics()).then_some(()));
    assert!(metrics().contains("\nshop_open 5\n"), "{}", metrics());
    for worker in workers_of(server.pid()) {
        send_signal(worker, Signal::SIGKILL);
    }
    eventually("gauges go with their workers", || (!metrics().contains("\nshop_open ")).then_some(()));
    assert!(has_all(&metrics()), "counters do not: {}", metrics());
}

#[test]
fn the_errors_of_metrics_name_the_line_of_the_app() {
    let server = serve(APP, &["--workers", "1"]);
    let said = text_of(&server, "/wrong");
    for (line, why) in said.lines().zip([
        "app.lua:7: the metric \"shop_orders\" is a counter, and must end with _total",
        "app.lua:8: the metric \"tine_x\" must not begin with tine_",
        "app.lua:9: the labels of the metric \"x\" must be a list of names",
        "app.lua:10: tine.metrics.gauge takes a name, a help text and a list of labels",
        "app.lua:11: the bounds of the metric \"x\"",
        "app.lua:12: the gauge \"x\" is the sum, the max or the min of its workers",
        "app.lua:13: the metric \"shop_orders_total\" has 2 labels, and was given 1 values",
        "app.lua:14: the counter \"shop_orders_total\" cannot change by -1",
        "app.lua:15: a metric changes by a number",
    ]) {
        assert!(line.contains(": false ") && line.contains(why), "{line}");
    }
    assert_eq!(said.lines().count(), 9);
}

#[test]
fn an_app_that_declares_a_wrong_metric_does_not_start() {
    let folder = folder_with(&[("app.lua", "tine.metrics.counter('a', 'A.', {})\nreturn { app = print }\n")]);
    let output = Command::new(TINE).args(["check", "app.lua"]).current_dir(folder).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("app.lua:1: the metric \"a\" is a counter"), "{said}");
}
