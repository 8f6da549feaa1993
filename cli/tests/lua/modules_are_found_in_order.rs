//! Where `require` looks: in each --app-dir, the current directory, a rocks tree around the executable, LUA_PATH and
//! LUA_CPATH; and what nibiru's framework gets before its application is loaded.

use crate::support::lua::folder_with;
use crate::support::{TINE, copy_program};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const VERSION: &str = if cfg!(feature = "luajit") { "5.1" } else { "5.4" };

/// The executable as `TREE/bin/tine`.
fn in_tree(tree: &Path) -> PathBuf {
    let path = tree.join("bin/tine");
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the scratch folder");
    fs::hard_link(TINE, &path).unwrap_or_else(|_| copy_program(TINE, &path));
    path
}

/// What an application prints while it is loaded or, if it cannot be loaded, the error from tine.
fn printed(tine: &Path, folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(tine);
    command.arg("check").args(arguments).current_dir(folder);
    command.env_remove("LUA_PATH").env_remove("LUA_CPATH").envs(environment.iter().copied());
    let output = command.output().expect("tine runs");
    let bytes = if output.status.success() { &output.stdout } else { &output.stderr };
    String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_string()
}

#[test]
fn lua_modules() {
    let in_rocks = format!("tree/share/lua/{VERSION}/which.lua");
    let app = "print((require('which'))) return { app = print }";
    // In the order in which they are to be found.
    let places = ["one/which.lua", "two/which.lua", "here/which.lua", in_rocks.as_str(), "path/which.lua"];
    let mut files = vec![("here/main.lua".to_string(), app.to_string())];
    files.extend(places.map(|place| (place.to_string(), format!("return {place:?}"))));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let folder = folder_with(&files);
    let (here, path) = (folder.join("here"), format!("{}/?.lua", folder.join("path").display()));
    let tine = in_tree(&folder.join("tree"));
    for place in places {
        for (arguments, environment) in [
            (&["--app-dir", "../one", "main", "--app-dir", "../two"][..], None),
            (&["./main.lua", "--app-dir", "../one,../two"], None),
            (&["main"], Some(("TINE_APP_DIR", "../one,../two"))),
        ] {
            let environment: Vec<(&str, &str)> = environment.into_iter().chain([("LUA_PATH", path.as_str())]).collect();
            assert_eq!(printed(&tine, &here, arguments, &environment), place, "{arguments:?}");
        }
        // Now the next place is used.
        fs::remove_file(folder.join(place)).expect("the module is there");
    }
    let message = printed(&tine, &here, &["main"], &[]);
    assert_eq!(message, "tine: main.lua:1: module 'which' not found:");
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn a_module_in_its_own_directory() {
    let folder = folder_with(&[
        ("main.lua", "print((require('site.pages'))) return { app = print }"),
        ("src/site/pages/init.lua", "return 'an init.lua'"),
    ]);
    assert_eq!(printed(Path::new(TINE), &folder, &["main", "--app-dir", "src"], &[]), "an init.lua");
    let message = printed(Path::new(TINE), &folder, &["none", "--app-dir", "src"], &[]);
    let expected = format!(
        "tine: module 'none' not found: looked for src/none.lua, src/none/init.lua, ./none.lua, ./none/init.lua in {}, and \
         in LUA_PATH and LUA_CPATH; start tine in the directory of its modules, or name that with --app-dir",
        folder.display()
    );
    assert_eq!(message, expected);
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn c_modules() {
    let folder = folder_with(&[
        ("main.lua", "print(package.cpath) return { app = print }"),
        ("one/empty", ""),
        (&format!("tree/lib/lua/{VERSION}/empty"), ""),
    ]);
    let tree = folder.join("tree");
    let tine = in_tree(&tree);
    let path = printed(&tine, &folder, &["main", "--app-dir", "one"], &[("LUA_CPATH", "/mine/?.so")]);
    let expected = format!("one/?.so;./?.so;{}/lib/lua/{VERSION}/?.so;/mine/?.so;", tree.display());
    assert!(path.starts_with(&expected), "{path}");
    assert!(
        !printed(Path::new(TINE), &folder, &["main"], &[]).contains("target"),
        "cargo's directories are not a rocks tree"
    );
    fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn nibirus_framework_gets_the_name_of_its_application_first() {
    let app = "print(require('nibiru.boot_parameters').app_module) return { app = print }";
    for (parameters, message) in [
        ("return { app_module = 'none' }", "docs.app"),
        ("error('no parameters')", "tine: nibiru/boot_parameters.lua:1: no parameters"),
    ] {
        let folder = folder_with(&[("docs/app.lua", app), ("nibiru/boot_parameters.lua", parameters)]);
        assert_eq!(printed(Path::new(TINE), &folder, &["docs.app:app"], &[]), message);
        fs::remove_dir_all(&folder).expect("the folder is ours");
    }
}
