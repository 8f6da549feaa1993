//! An application of your own with files beside it: paths below /assets are served from a directory, the rest is
//! computed.
//!
//!     cargo run --release --example files_beside_app -- run 8081 --assets DIR

use std::path::{Path, PathBuf};
use std::sync::Arc;
use tine::app::{Answer, App, AppError, AppFactory, Cx};
use tine::files::{Files, Root, UrlPrefix};
use tine::http::{Request, Response, StatusCode};
use tine::router::Router;
use tine::{About, Health};
use tine_cli::{Asked, Operands, Served};

#[derive(clap::Args, Debug, Clone)]
struct Options {
    /// Directory of the files below /assets
    #[arg(long, value_name = "DIR")]
    assets: PathBuf,
}

struct Hello;

impl App for Hello {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        Response::text(StatusCode::OK, format!("hello from {}\n", request.path())).into()
    }
}

pub fn main() -> std::process::ExitCode {
    tine_cli::serve_with(Operands::Port, |asked: Asked<Options>| {
        let options = asked.options;
        let root = Root::open(Path::new(&options.assets)).map_err(|e| format!("--assets: {e}"))?;
        let at: UrlPrefix = "/assets".parse()?;
        // Opened in each worker: a reload serves the directory that has the name by then.
        let factory: AppFactory = Box::new(move |_| {
            let files = Files::new(Arc::new(root.reopen().map_err(AppError::new)?), at.clone());
            Ok(Box::new(Router::new(files, Box::new(Hello))))
        });
        let shown = options.assets.display().to_string();
        let also = vec![format!("the files in {shown} below /assets")];
        let options = vec![("assets", shown)];
        let (name, try_next) = ("an app and files".to_string(), "curl URL/".to_string());
        let about = About { name, try_next, also, health: Health::AppsOwn };
        Ok(Served { about, options, warnings: Vec::new(), has_preflight: false, development: None, factory })
    })
}
