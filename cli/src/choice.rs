//! What the binary `tine` serves, decided from the command line alone.

use crate::lua_args::LuaArgs;
use crate::origin_args::OriginArgs;
use crate::static_args::{AppKind, CacheArgs, StaticArgs, StaticFiles};
use std::cell::OnceCell;
use tine::{About, Health};
use tine_apps::lua::AppName;
use tine_cli::{Asked, Served};

/// All options that are not the server's.
#[derive(clap::Args, Debug, Clone)]
pub struct AppArgs {
    #[command(flatten)]
    files: StaticArgs,
    #[command(flatten)]
    lua: LuaArgs,
    #[command(flatten)]
    origin: OriginArgs,
}

/// The application that was named, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// None was named: the origin is served, or only the files.
    Unnamed,
    Builtin,
    Lua(AppName),
}

/// `at_start`: see [`StaticArgs::choose`].
pub fn choose(asked: Asked<AppArgs>, at_start: &OnceCell<bool>) -> Result<Served, String> {
    let Asked { app, options: AppArgs { files, lua, origin }, given } = asked;
    let lua = lua.settled(&given);
    lua.check()?;
    let choice = choice(app.as_deref())?;
    let (of_lua, of_origin) = (given.options_of::<LuaArgs>(), given.options_of::<OriginArgs>());
    let files = files.choose(choice.kind(), at_start)?;
    let mut options = files.as_ref().map_or_else(StaticFiles::describe_none, StaticFiles::describe);
    if let Some(files) = files.as_ref().filter(|files| files.is_alone).cloned() {
        let name = files.name();
        let warnings = [unused(&name, &of_lua, LUA_APPS), unused(&name, &of_origin, ORIGIN)].concat();
        let (try_next, factory) = ("curl URL/".to_string(), files.alone());
        let about = About { name, try_next, also: Vec::new(), health: Health::Nowhere };
        return Ok(Served { about, options, warnings, has_preflight: false, factory, development: None });
    }
    let name = choice.name();
    let of_files = if files.is_none() { given.options_of::<CacheArgs>() } else { Vec::new() };
    let of_files = unused(&name, &of_files, FILES);
    let mut development = None;
    let (try_next, health, has_preflight, warnings, factory) = match choice {
        Choice::Unnamed | Choice::Builtin => {
            options.extend(origin.describe());
            ("curl URL/help", Health::At("/health"), false, unused(&name, &of_lua, LUA_APPS), origin.factory())
        }
        Choice::Lua(app) => {
            options.extend(lua.describe());
            let warnings = unused(&name, &of_origin, ORIGIN).into_iter().chain(lua.warning(&of_lua)).collect();
            let factory;
            (factory, development) = lua.factory(app);
            ("curl URL/", Health::AppsOwn, true, warnings, factory)
        }
    };
    let also = files.iter().map(StaticFiles::also).collect();
    let warnings = warnings.into_iter().chain(files.as_ref().and_then(StaticFiles::warning)).collect();
    let factory = match files {
        Some(files) => files.before(factory),
        None => factory,
    };
    let about = About { name, try_next: try_next.to_string(), also, health };
    let warnings = [warnings, of_files].concat();
    Ok(Served { about, options, warnings, has_preflight, factory, development })
}

impl Choice {
    fn kind(&self) -> AppKind {
        match self {
            Choice::Unnamed => AppKind::None,
            Choice::Builtin => AppKind::Builtin,
            Choice::Lua(_) => AppKind::Users,
        }
    }

    fn name(&self) -> String {
        match self {
            Choice::Unnamed | Choice::Builtin => "the built-in test origin".to_string(),
            Choice::Lua(app) => app.to_string(),
        }
    }
}

fn choice(app: Option<&str>) -> Result<Choice, String> {
    match app {
        None => Ok(Choice::Unnamed),
        Some("builtin") => Ok(Choice::Builtin),
        Some(app) => app.parse().map(Choice::Lua),
    }
}

const LUA_APPS: &str = "Lua applications";
const ORIGIN: &str = "the built-in origin";
const FILES: &str = "the files of --static";

/// A warning for given options that belong to something else (`whose`) than what is served (`name`).
fn unused(name: &str, options: &[String], whose: &str) -> Vec<String> {
    let verb = if options.len() == 1 { "has" } else { "have" };
    let line = || format!("{} {verb} no effect on {name}, only on {whose}", options.join(", "));
    (!options.is_empty()).then(line).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operand_says_what_is_served() {
        let lua = |app: &str| Ok(Choice::Lua(app.parse().expect("an app")));
        for (app, expected) in [
            (None, Ok(Choice::Unnamed)),
            (Some("builtin"), Ok(Choice::Builtin)),
            (Some("builtin:app"), lua("builtin:app")), // a Lua module of that name
            (Some("./builtin.lua"), lua("./builtin.lua")),
            (Some("docs.app:app"), lua("docs.app:app")),
            (Some("app"), lua("app")),
            (Some("hello.lua"), lua("hello.lua")),
            (Some(""), Err("module.path:callable")),
            (Some("docs.app:"), Err("a path to a .lua file")),
        ] {
            match (choice(app), expected) {
                (Err(line), Err(words)) => assert!(line.contains(words), "{app:?}: {line}"),
                (found, expected) => assert_eq!(found, expected.map_err(str::to_string), "{app:?}"),
            }
        }
    }

    #[test]
    fn options_of_others_are_said_to_have_no_effect() {
        for (name, options, whose, expected) in [
            ("docs.app:app", &[][..], ORIGIN, None),
            (
                "docs.app:app",
                &["--stream-mb"],
                ORIGIN,
                Some("--stream-mb has no effect on docs.app:app, only on the built-in origin"),
            ),
            (
                "the built-in test origin",
                &["--max-body", "--debug"],
                LUA_APPS,
                Some("--max-body, --debug have no effect on the built-in test origin, only on Lua applications"),
            ),
        ] {
            let options: Vec<_> = options.iter().map(|option| option.to_string()).collect();
            assert_eq!(unused(name, &options, whose), expected.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }
}
