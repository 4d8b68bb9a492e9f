//! The root key: from a passphrase, and another in its place, also when the exchange is killed.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use super::*;
use crate::world::tool;

const FIRST: &str = "correct horse battery staple";
const SECOND: &str = "four other words altogether";

/// Files a root key can come from, in a home.
fn key_files(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.world.path("home/keys")).unwrap();
    let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("keyvault-root"));
    names.sort();
    names
}

fn file_of(kind: &str) -> &'static str {
    if kind == "file" { "keyvault-root.key" } else { "keyvault-root.passphrase.json" }
}

/// A home with a wrapped disk key, a blob of the key that wraps it, and files with passphrases.
struct Scene {
    home: Home,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        home.make_keys("kv1");
        let wrapped = home.ok("keyvault key wrap --vault-name kv1 --name kek --file disk.key");
        fs::write(home.world.path("wrapped"), wrapped["result"].as_str().unwrap()).unwrap();
        home.ok("keyvault key backup --vault-name kv1 --name kek --file kek.blob");
        fs::write(home.world.path("first"), format!("{FIRST}\n")).unwrap();
        fs::write(home.world.path("second"), SECOND).unwrap();
        Self { home }
    }

    /// With the file of a passphrase named for the current and for the new one.
    fn command(&self, line: &str, current: &str, new: &str) -> Command {
        let mut command = self.home.command(line);
        for (variable, file) in
            [("COFRE_ROOT_PASSPHRASE_FILE", current), ("COFRE_NEW_ROOT_PASSPHRASE_FILE", new)]
        {
            command.env_remove(variable);
            if !file.is_empty() {
                command.env(variable, self.home.world.path(file));
            }
        }
        command
    }

    #[track_caller]
    fn run(&self, line: &str, current: &str, new: &str) -> Run {
        let run = finish(self.command(line, current, new).spawn().unwrap());
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(!shown.contains(FIRST) && !shown.contains(SECOND), "a passphrase is shown: {run:#?}");
        assert!(!shown.contains("panicked"), "{run:#?}");
        run
    }

    /// What was wrapped unwraps.
    #[track_caller]
    fn unwraps(&self, vault: &str, current: &str, new: &str) {
        let plain = self.home.world.path("plain");
        let _ = fs::remove_file(&plain);
        let line = format!("keyvault key unwrap --vault-name {vault} --name kek --file wrapped --to plain");
        self.run(&line, current, new).expect(0);
        assert_eq!(fs::read(&plain).unwrap(), DISK_KEY.as_bytes());
    }

    /// Blobs from before open.
    #[track_caller]
    fn blobs_open(&self, vault: &str, passphrase: &str) {
        self.run(&format!("keyvault create --name {vault}"), passphrase, "").expect(0);
        let line = format!("keyvault key restore --vault-name {vault} --file kek.blob");
        self.run(&line, passphrase, "").expect(0);
        self.unwraps(vault, passphrase, "");
    }
}

#[test]
fn another_root_key_of_each_kind() {
    let scene = Scene::new();
    let rotate = |to: &str, current: &str, new: &str| {
        scene.run(&format!("keyvault rotate-root-key{to}"), current, new).expect(0).json()
    };
    let path = scene.home.world.path("home/keys/keyvault-root.key");
    let before = fs::read(&path).unwrap();
    let first = rotate("", "", "");
    assert_eq!(first["kind"], "file");
    assert_ne!(fs::read(&path).unwrap(), before);
    assert_eq!(key_files(&scene.home), ["keyvault-root.key"]);
    scene.unwraps("kv1", "", "");
    // A copy from before the rotation opens nothing, and says which key is wanted.
    let now = fs::read(&path).unwrap();
    fs::write(&path, before).unwrap();
    let error = scene.home.run("vault list").refused(1, "StateUnavailable");
    assert!(error["message"].as_str().unwrap().contains(first["keyId"].as_str().unwrap()), "{error}");
    fs::write(&path, now).unwrap();

    // A home without a passphrase has no current one: what is named is the new one.
    let second = rotate(" --to passphrase", "first", "");
    assert_eq!(
        (&second["kind"], key_files(&scene.home)),
        (&"passphrase".into(), vec![file_of("passphrase").into()])
    );
    scene.unwraps("kv1", "first", "");
    scene.run("vault list", "second", "").refused(12, "RootPassphraseWrong");
    scene.run("vault list", "nothing", "").refused(2, "SecretFileUnusable");
    // One that cannot be read is no reason not to try the other.
    scene.run("vault list", "first", "nothing").expect(0);
    scene.run("vault list", "nothing", "first").expect(0);
    rotate("", "first", "second");
    scene.run("vault list", "first", "").refused(12, "RootPassphraseWrong");
    scene.unwraps("kv1", "second", "");
    rotate(" --to file", "second", "");
    assert_eq!(key_files(&scene.home), ["keyvault-root.key"]);
    scene.unwraps("kv1", "", "");
    scene.blobs_open("kv2", "");
    let events = scene.home.ok("audit list --writer keyvault --limit 100")["events"].to_string();
    assert_eq!(events.matches("rotateRootKey").count(), 4, "{events}");
    scene.home.ok("audit verify");
    scene.home.ok("kit check --kit kit.json");
}

#[test]
fn a_home_of_a_passphrase_opens_with_it_alone() {
    let world = World::empty();
    let home = Home { world };
    fs::write(home.world.path("cofre-root-passphrase"), format!("{FIRST}\r\n")).unwrap();
    fs::write(home.world.path("short"), "too short").unwrap();
    let scene = Scene { home };
    let line = "init --root-key passphrase --kit kit.json";
    scene.run(line, "short", "").refused(21, "InvalidParameter");
    assert!(!scene.home.world.path("home").exists());
    let credentials = |line: &str, folder: std::path::PathBuf| {
        let mut command = scene.command(line, "", "");
        command.env("CREDENTIALS_DIRECTORY", folder);
        finish(command.spawn().unwrap())
    };
    let here = || scene.home.world.path("");
    assert_eq!(credentials(line, here()).expect(0).json()["rootKey"], "passphrase");
    assert_eq!(key_files(&scene.home), [file_of("passphrase")]);
    credentials("vault list", here()).expect(0);
    let file = fs::read_to_string(scene.home.world.path("home/keys").join(file_of("passphrase"))).unwrap();
    assert!(!file.contains(FIRST));

    // Neither file nor terminal: said at once, with every way there is. `setsid` takes the terminal away.
    let Some(mut detached) = tool("setsid") else { return };
    let command = scene.command("vault list", "", "");
    detached.arg("--wait").arg(command.get_program()).args(command.get_args());
    detached.current_dir(scene.home.world.path("")).env_remove("COFRE_ROOT_PASSPHRASE_FILE");
    detached.env("CREDENTIALS_DIRECTORY", scene.home.world.path("home"));
    detached.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let error = finish(detached.spawn().unwrap()).refused(2, "PassphraseUnavailable");
    let advice = error["recommendations"].to_string();
    for way in ["terminal", "COFRE_ROOT_PASSPHRASE_FILE", "cofre-root-passphrase"] {
        assert!(advice.contains(way), "{advice}");
    }
}

/// Runs a command line on a terminal of its own and answers its questions; gives back all that the terminal showed.
fn on_a_terminal(
    mut terminal: Command,
    command: &Command,
    answers: &[(&str, &str)],
) -> (Option<i32>, String) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<_> = words.map(|word| word.to_str().unwrap().to_owned()).collect();
    terminal.args(["-qec", &line.join(" "), "/dev/null"]).current_dir(command.get_current_dir().unwrap());
    terminal.env_remove("COFRE_ROOT_PASSPHRASE_FILE").env_remove("COFRE_NEW_ROOT_PASSPHRASE_FILE");
    let mut child =
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut seen) = (String::new(), 0);
    for (question, answer) in answers {
        while !shown[seen..].contains(question) {
            let mut buffer = [0; 1024];
            let count = output.read(&mut buffer).unwrap();
            assert!(count > 0, "it never asked {question:?}: {shown}");
            shown.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        seen = shown.len();
        input.write_all(answer.as_bytes()).unwrap();
    }
    output.read_to_string(&mut shown).unwrap();
    (child.wait().unwrap().code(), shown)
}

#[test]
fn the_terminal_is_asked_without_echo() {
    let (Some(a), Some(b), Some(c), Some(d)) =
        (tool("script"), tool("script"), tool("script"), tool("script"))
    else {
        return;
    };
    let scene = Scene { home: Home { world: World::empty() } };
    let init = scene.command("init --root-key passphrase --kit kit.json", "", "");
    let (asked, again) = ("New passphrase of the root key: ", "The same once more: ");
    let (first, second) = (&*format!("{FIRST}\n"), &*format!("{SECOND}\n"));
    let (code, shown) = on_a_terminal(a, &init, &[(asked, first), (again, second)]);
    assert!(code == Some(21) && shown.contains("differ"), "{shown}");
    assert!(!scene.home.world.path("home").exists(), "it is asked for before anything is made");
    let (code, shown) = on_a_terminal(b, &init, &[(asked, first), (again, first)]);
    assert!(code == Some(0) && !shown.contains(FIRST), "{shown}");
    let list = scene.command("vault list", "", "");
    let (code, shown) = on_a_terminal(c, &list, &[("Passphrase of the root key: ", first)]);
    assert!(code == Some(0) && !shown.contains(FIRST), "{shown}");
    // Ctrl-C ends the question.
    let (code, shown) = on_a_terminal(d, &list, &[("Passphrase of the root key: ", "\u{3}")]);
    assert!(code == Some(130) && shown.contains("Interrupted"), "{shown}");
}

#[test]
fn a_rotation_waits_for_nobody_who_has_the_home_open() {
    let scene = Scene::new();
    let before = fs::read(scene.home.world.path("home/keys/keyvault-root.key")).unwrap();
    let lock = fs::File::open(scene.home.world.path("home/keys/lock")).unwrap();
    lock.lock_shared().unwrap();
    scene.home.run("keyvault rotate-root-key").refused(21, "Conflict");
    assert_eq!(fs::read(scene.home.world.path("home/keys/keyvault-root.key")).unwrap(), before);
    assert_eq!(key_files(&scene.home), ["keyvault-root.key"]);
    // Others work on, also when a rotation that died has left something that cannot be cleaned up now.
    let keys = scene.home.world.path("home/keys");
    fs::rename(keys.join("keyvault-root.key"), keys.join("keyvault-root.key.new")).unwrap();
    scene.unwraps("kv1", "", "");
    assert_eq!(key_files(&scene.home), ["keyvault-root.key.new"]);
    drop(lock);
    scene.unwraps("kv1", "", "");
    assert_eq!(key_files(&scene.home), ["keyvault-root.key"]);
}

#[test]
fn what_an_interrupted_rotation_left_is_cleaned_up() {
    let scene = Scene::new();
    let keys = scene.home.world.path("home/keys");
    let at = |name: &str| keys.join(name);
    let good = fs::read(at("keyvault-root.key")).unwrap();
    let other = fs::read(at("service.key")).unwrap();
    let put = |name: &str, content: &[u8]| {
        fs::write(at(name), content).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(at(name), mode).unwrap();
    };
    // A new key that was never whole, of either kind.
    for (name, content) in [
        ("keyvault-root.key.new", &b""[..]),
        ("keyvault-root.key.new", &good[..20]),
        ("keyvault-root.key.new", &other),
        ("keyvault-root.passphrase.json.new", b"{\"format\":"),
        ("keyvault-root.passphrase.json", b""),
    ] {
        put(name, content);
        scene.unwraps("kv1", "", "");
        assert_eq!(key_files(&scene.home), ["keyvault-root.key"], "{name}");
        assert_eq!(fs::read(at("keyvault-root.key")).unwrap(), good);
    }
    // The new key opens the ring, the old one is there, damaged or gone.
    for old in [Some(&other[..]), Some(b"x"), None] {
        put("keyvault-root.key.new", &good);
        match old {
            Some(old) => put("keyvault-root.key", old),
            None => fs::remove_file(at("keyvault-root.key")).unwrap(),
        }
        scene.unwraps("kv1", "", "");
        assert_eq!(key_files(&scene.home), ["keyvault-root.key"]);
        assert_eq!(fs::read(at("keyvault-root.key")).unwrap(), good);
    }
    // Where no key is the right one, nothing is removed.
    put("keyvault-root.key", &other);
    put("keyvault-root.key.new", &other);
    scene.home.run("vault list").refused(1, "StateUnavailable");
    assert_eq!(key_files(&scene.home).len(), 2);
    // Without a database nobody knows which key will be needed.
    put("keyvault-root.key.new", &good);
    for file in ["cofre.db", "cofre.db-wal", "cofre.db-shm"] {
        let _ = fs::remove_file(scene.home.world.path("home").join(file));
    }
    scene.home.ok("vault list");
    assert_eq!(fs::read(at("keyvault-root.key.new")).unwrap(), good);
}

/// Kills a rotation at each of its instants. `open` is the passphrase file of the present key, `new` of the new one.
#[cfg(feature = "failpoints")]
fn killed_everywhere(from: &str, to: &str) {
    let scene = Scene::new();
    if from == "passphrase" {
        scene.run("keyvault rotate-root-key --to passphrase", "first", "").expect(0);
    }
    let (mut open, mut new) = ("first", "second");
    for name in cofre_repo::failpoint::HOME_NAMES {
        let old = fs::read(scene.home.world.path("home/keys").join(file_of(from))).unwrap();
        let mut command = scene.command(&format!("keyvault rotate-root-key --to {to}"), open, new);
        let run = finish(command.env("COFRE_FAILPOINT", name).spawn().unwrap());
        assert_eq!(run.code, None, "{name} was never reached: {run:#?}");
        // Whoever comes next, with either passphrase at hand, finds the right key and cleans up.
        scene.unwraps("kv1", open, new);
        let rotated = *name != "root-key.pending-written";
        let kind = if rotated { to } else { from };
        assert_eq!(key_files(&scene.home), [file_of(kind)], "{name}");
        let now = fs::read(scene.home.world.path("home/keys").join(file_of(kind))).unwrap();
        assert_eq!(now != old, rotated, "{name}");
        match (rotated, from == to) {
            (false, _) => {}
            (true, true) => (open, new) = (new, open),
            (true, false) => {
                let back = format!("keyvault rotate-root-key --to {from}");
                // To passphrase: `new`, to file: nobody asks.
                scene.run(&back, new, open).expect(0);
            }
        }
    }
    scene.blobs_open("kv2", open);
    scene.run("audit verify", open, "").expect(0);
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_from_file_to_file() {
    killed_everywhere("file", "file");
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_from_file_to_passphrase() {
    killed_everywhere("file", "passphrase");
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_from_passphrase_to_file() {
    killed_everywhere("passphrase", "file");
}

#[cfg(feature = "failpoints")]
#[test]
fn killed_from_passphrase_to_passphrase() {
    killed_everywhere("passphrase", "passphrase");
}
