//! What the binary `tine` serves, decided from the command line alone.

use crate::lua_args::LuaArgs;
use crate::origin_args::OriginArgs;
use tine::{Asked, Served};
use tine_apps::lua::AppName;

/// All options that are not the server's.
#[derive(clap::Args, Debug, Clone)]
pub struct AppArgs {
    #[command(flatten)]
    lua: LuaArgs,
    #[command(flatten)]
    origin: OriginArgs,
}

/// Which application was named, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    /// None; the origin takes its place.
    Unnamed,
    Builtin,
    Lua(AppName),
}

pub fn choose(asked: Asked<AppArgs>) -> Result<Served, String> {
    let Asked { app, options: AppArgs { lua, origin }, given } = asked;
    let choice = choice(app.as_deref())?;
    let warnings = unused(&choice, &given.options_of::<LuaArgs>(), &given.options_of::<OriginArgs>());
    let name = choice.name();
    Ok(match choice {
        Choice::Unnamed | Choice::Builtin => {
            let try_next = "curl URL/help".to_string();
            let (options, factory) = (origin.describe(), origin.factory());
            Served { name, try_next, options, warnings, has_preflight: false, factory }
        }
        Choice::Lua(app) => {
            let try_next = "curl URL/".to_string();
            let (options, factory) = (lua.describe(), lua.factory(app));
            Served { name, try_next, options, warnings, has_preflight: true, factory }
        }
    })
}

impl Choice {
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

/// A line for each kind of options that were given and are not those of what is served.
fn unused(choice: &Choice, lua: &[String], origin: &[String]) -> Vec<String> {
    let (options, whose) = match choice {
        Choice::Unnamed | Choice::Builtin => (lua, "Lua applications"),
        Choice::Lua(_) => (origin, "the built-in origin"),
    };
    let verb = if options.len() == 1 { "has" } else { "have" };
    let line = || format!("{} {verb} no effect on {}, only on {whose}", options.join(", "), choice.name());
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
        let lua = Choice::Lua("docs.app:app".parse().expect("an app"));
        for (choice, lua, origin, expected) in [
            (&Choice::Unnamed, &[][..], &["--no-faults"][..], None),
            (&Choice::Builtin, &[], &[], None),
            (&lua, &["--debug"], &[], None),
            (
                &lua,
                &[],
                &["--stream-mb"],
                Some("--stream-mb has no effect on docs.app:app, only on the built-in origin"),
            ),
            (
                &Choice::Builtin,
                &["--max-body", "--debug"],
                &["--stream-mb"],
                Some("--max-body, --debug have no effect on the built-in test origin, only on Lua applications"),
            ),
        ] {
            let [lua, origin] = [lua, origin].map(|options| options.iter().map(|o| o.to_string()).collect::<Vec<_>>());
            assert_eq!(unused(choice, &lua, &origin), expected.into_iter().collect::<Vec<_>>(), "{choice:?}");
        }
    }
}
