//! docs/from-gunicorn.md: each option that it has for gunicorn or uWSGI is an option here, or is refused in a line with the
//! one that it gives; and an application for uWSGI's Lua plugin runs in the few lines that it shows.

use crate::support::lua::{folder_with, serve_from};
use crate::support::markdown::table;
use crate::support::{one_line_of, options, run_to_end};

fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn each_option_of_the_page_is_known_or_has_a_hint() {
    let ours: Vec<String> = options::names().iter().map(|name| format!("--{name}")).collect();
    let (_, rows) = table("from-gunicorn.md", "gunicorn");
    assert!(rows.len() >= 30, "{rows:#?}");
    for row in rows {
        for name in spans(&row[2]) {
            assert!(ours.iter().any(|known| known == name), "{name} is not an option of ours: {row:?}");
        }
        for name in row[..2].iter().flat_map(|cell| spans(cell)) {
            if ours.iter().any(|known| known == name) {
                continue;
            }
            let line = one_line_of(&run_to_end(&["check", "0", name]));
            let has_hint = line.starts_with(&format!("tine: there is no option {name}: "));
            let mut meant = spans(&row[2]);
            let is_the_same = row[2] == "none" || meant.any(|option| line.contains(option));
            assert!(has_hint && is_the_same, "{line}: {row:?}");
        }
    }
}

#[test]
fn an_application_for_uwsgi_runs_in_the_lines_that_are_shown() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/from-gunicorn.md")).expect("a page");
    let adapter = page.split("```lua\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Lua");
    let wsapi = r#"
        local function run(wsapi_env)
          local function hello()
            coroutine.yield("path ")
            coroutine.yield(wsapi_env.PATH_INFO .. "?" .. wsapi_env.QUERY_STRING)
          end
          return 200, { ["Content-type"] = "text/html" }, coroutine.wrap(hello)
        end
        return { run = run }
    "#;
    let folder = folder_with(&[("adapter.lua", adapter), ("myapp.lua", wsapi)]);
    let server = serve_from(&folder, "adapter:app", &[], &[]);
    let response = server.get("/a?b=c");
    assert_eq!((response.text().as_str(), response.header("content-type")), ("path /a?b=c", Some("text/html")));
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}
