//! The examples in deploy/ for proxies are accepted by these, and the options of Tine in them by Tine.

use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::{options, run_to_end};
use std::fs;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

fn example(path: &str) -> String {
    fs::read_to_string(format!("{DEPLOY}/{path}")).expect("an example")
}

#[test]
fn by_nginx_and_by_haproxy() {
    Proxy::check(ProxyKind::HaProxy, &example("haproxy/haproxy.cfg")).unwrap_or_else(|said| panic!("{said}"));
    let http = format!(
        "pid FOLDER/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path FOLDER/b;\nproxy_temp_path \
         FOLDER/p;\nfastcgi_temp_path FOLDER/f;\nscgi_temp_path FOLDER/s;\nuwsgi_temp_path FOLDER/u;\n{}}}\n",
        example("nginx/tine.conf").replace("listen 8080", "listen unix:FOLDER/socket")
    );
    Proxy::check(ProxyKind::Nginx, &http).unwrap_or_else(|said| panic!("{said}"));
    assert!(Proxy::check(ProxyKind::Nginx, &http.replace("proxy_pass", "proxy_past")).is_err(), "it is looked at");
}

/// The command lines in the comments: `tine run app.lua --listen ...`, checked with the built-in app and without its addresses.
#[test]
fn by_tine() {
    let mut lines = 0;
    for path in ["nginx/tine.conf", "nginx/stream.conf", "haproxy/haproxy.cfg"] {
        let text = example(path);
        for line in
            text.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix("tine run app.lua "))
        {
            let words: Vec<&str> = line.split(' ').collect();
            let is_pair = |word: &str| word.starts_with("--tls-");
            let kept: Vec<&str> = words
                .chunks(2)
                .filter(|pair| !is_pair(pair[0]))
                .flatten()
                .map(|word| match word.contains("10.0.0.5") || word.starts_with("unix:/") {
                    true => "proxy:127.0.0.1:0",
                    false => word,
                })
                .collect();
            let output = run_to_end(&[&["check"], &kept[..]].concat());
            assert!(output.status.success(), "{path}: {line}: {}", String::from_utf8_lossy(&output.stderr));
            lines += 1;
        }
    }
    assert_eq!(lines, 3);
    let known: Vec<String> =
        options::names().iter().map(|name| format!("TINE_{}", name.replace('-', "_").to_uppercase())).collect();
    let yaml = example("kubernetes/tine.yaml");
    let variables: Vec<&str> = yaml.split("name: TINE_").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    assert!(variables.len() >= 8, "{variables:?}");
    for name in variables {
        let name = format!("TINE_{name}");
        assert!(known.contains(&name) || ["TINE_APP", "TINE_PORT"].contains(&name.as_str()), "{name}");
    }
}
