//! `math.random` is seeded by the server: the numbers differ between workers, and after a restart.

use crate::support::eventually;
use crate::support::lua::serve;
use std::collections::{BTreeMap, BTreeSet};

const APP: &str = r#"
local drawn = math.random(2^30) .. " " .. math.random(2^30)
math.randomseed()
local anew = math.random(2^30)
math.randomseed(42)
local fixed = math.random(2^30)
function app(environ, start_response)
  start_response("200 OK", {})
  return environ["tine.worker"] .. ": " .. drawn .. " " .. anew .. " " .. fixed
end
"#;

#[test]
fn random_numbers_differ_between_workers() {
    let mut drawn = Vec::new();
    let mut fixed = BTreeSet::new();
    for _ in 0..2 {
        let server = serve(APP, &["--workers", "4"]);
        let mut by_worker = BTreeMap::new();
        eventually("each worker has answered", || {
            let text = server.get("/").text();
            let (worker, numbers) = text.split_once(": ").expect("a worker and its numbers");
            by_worker.insert(worker.to_string(), numbers.to_string());
            (by_worker.len() == 4).then_some(())
        });
        for numbers in by_worker.into_values() {
            let mut numbers: Vec<_> = numbers.split(' ').map(str::to_string).collect();
            // A seed that the app sets is respected.
            fixed.extend(numbers.pop());
            drawn.extend(numbers);
        }
    }
    let different: BTreeSet<_> = drawn.iter().collect();
    assert_eq!(different.len(), drawn.len(), "{drawn:?}");
    assert_eq!(fixed.len(), 1, "{fixed:?}");
}
