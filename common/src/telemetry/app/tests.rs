use super::*;
use crate::scoreboard::Scoreboard;
use crate::telemetry::exposition::{Exposition, Format};

fn board(slots: usize) -> Scoreboard {
    let board = Scoreboard::new(slots).expect("memory");
    (0..slots).for_each(|slot| board.take(slot, slot));
    board
}

fn metrics(board: &Scoreboard, slot: usize) -> AppMetrics {
    AppMetrics::of(board.telemetry().seat(slot))
}

fn text(board: &Scoreboard) -> String {
    let mut out = Exposition::new(Format::Text);
    write(&mut out, &board.telemetry());
    out.finish()
}

#[test]
fn what_all_workers_counted_is_added_up_and_outlives_them() {
    let board = board(3);
    for slot in 0..3 {
        let metrics = metrics(&board, slot);
        let orders = metrics.counter("orders_total", "Orders.", &["kind"]).expect("a counter");
        orders.add(&["book"], 1.5).expect("room");
        orders.add(&["\"\n"], 1.0).expect("room");
        metrics.counter("never_total", "Never.", &[]).expect("a counter");
        for (name, over) in [("a_sum", Over::Sum), ("a_max", Over::Max), ("a_min", Over::Min)] {
            let gauge = metrics.gauge(&name.replace("a_sum", "a_all"), "A gauge.", &[], over).expect("a gauge");
            gauge.set(&[], 7.0).expect("room");
            gauge.add(&[], slot as f64).expect("room");
        }
        let sizes = metrics.histogram("sizes", "Sizes.", &[], &[1.0, 10.0]).expect("a histogram");
        [0.5, 10.0, 11.0].into_iter().for_each(|size| sizes.observe(&[], size).expect("room"));
    }
    let expected = "# HELP a_all A gauge.\n# TYPE a_all gauge\na_all 24\n# HELP a_max A gauge.\n# TYPE a_max gauge\na_max 9\n\
         # HELP a_min A gauge.\n# TYPE a_min gauge\na_min 7\n\
         # HELP never_total Never.\n# TYPE never_total counter\nnever_total 0\n\
         # HELP orders_total Orders.\n# TYPE orders_total counter\norders_total{kind=\"\\\"\\n\"} 3\norders_total{kind=\"book\"} 4.5\n\
         # HELP sizes Sizes.\n# TYPE sizes histogram\nsizes_bucket{le=\"1\"} 3\nsizes_bucket{le=\"10\"} 6\n\
         sizes_bucket{le=\"+Inf\"} 9\nsizes_sum 64.5\nsizes_count 9\n";
    assert_eq!(text(&board), expected);
    board.retire(2, 0);
    let after = text(&board);
    assert!(after.contains("book\"} 4.5") && after.contains("sizes_count 9"), "{after}");
    assert!(after.contains("a_all 15\n") && after.contains("a_max 8\n"), "gauges go with their worker: {after}");
    board.take(2, 2);
    let orders = metrics(&board, 2).counter("orders_total", "Orders.", &["kind"]).expect("the same");
    orders.add(&["book"], 1.0).expect("room");
    assert!(text(&board).contains("book\"} 5.5"), "the next worker continues: {}", text(&board));
}

#[test]
fn without_room_each_handle_fails_once_and_the_rest_is_counted() {
    let board = board(1);
    let counter = metrics(&board, 0).counter("a_total", "A.", &["id"]).expect("a counter");
    let failures = (0..5000).filter(|id| counter.add(&[&id.to_string()], 1.0).is_err()).count();
    assert_eq!(failures, 1);
    let (kept, dropped) =
        (text(&board).lines().count() as u64 - 2, board.telemetry().counted(Count::AppMetricsDropped));
    assert_eq!(kept + dropped, 5000);
    assert!(kept > 500, "{kept}");
    counter.add(&["0"], 1.0).expect("a series that exists");
    assert!(text(&board).contains("a_total{id=\"0\"} 2\n"));
    let other = metrics(&board, 0).counter("b_total", &"B".repeat(500), &[]);
    assert!(other.is_err_and(|error| error.to_string().contains("no room")));
}

#[test]
fn what_is_wrong_is_said() {
    let board = board(1);
    let counter = metrics(&board, 0).counter("a_total", "A.", &["id"]).expect("a counter");
    let error = |result: Result<(), MetricError>| result.expect_err("it is wrong").to_string();
    assert!(error(counter.add(&[], 1.0)).contains("has 1 labels, and was given 0"));
    assert!(error(counter.add(&["x"], -1.0)).contains("cannot change by -1"));
    assert!(error(counter.add(&[&"x".repeat(257)], 1.0)).contains("longer than 256"));
    assert!(metrics(&board, 0).counter("a", "A.", &[]).is_err());
    let outside = AppMetrics::none().counter("a_total", "A.", &[]).expect("it is checked");
    outside.add(&[], 1.0).expect("it does nothing");
}

#[test]
fn a_metric_that_a_reload_has_changed_is_the_first_workers() {
    let board = board(2);
    metrics(&board, 0).gauge("x", "X.", &[], Over::Max).and_then(|gauge| gauge.set(&[], 1.0)).expect("room");
    let changed = metrics(&board, 1).histogram("x", "X.", &[], &[1.0]).expect("a histogram");
    changed.observe(&[], 1.0).expect("room");
    assert_eq!(text(&board), "# HELP x X.\n# TYPE x gauge\nx 1\n");
}
