//! The commands that work on a home, from outside.

mod elsewhere;
mod faults;
mod jobs;
mod keyvault;
mod policies;
mod postgres;
mod proofs;
mod refusals;
mod root_key;
mod story;
mod way_out;

use std::{fs, path::Path};

use cofre_fde::{
    Limits, Mapping as _,
    luks::{self, FormatOptions, Kdf},
};
use serde_json::Value;

use crate::world::{Run, World, finish};

/// The key of encrypted disks here.
const DISK_KEY: &str = "a-disk-key-that-nobody-may-ever-see-in-plain";
/// Bytes of images.
const SIZE: usize = 24 << 20;

/// A home in a world, with a folder `vm` for images.
struct Home {
    world: World,
}

impl Home {
    fn new() -> Self {
        Self::with("")
    }

    /// A home that `cofre init` was told more of.
    #[track_caller]
    fn with(more: &str) -> Self {
        let world = World::empty();
        fs::create_dir(world.path("vm")).unwrap();
        fs::write(world.path("disk.key"), DISK_KEY).unwrap();
        let home = Self { world };
        home.ok(&format!("init --image-folder vm --kit kit.json{more}"));
        home
    }

    /// Changes the settings of jobs.
    fn set_jobs(&self, jobs: Value) {
        set_jobs(&self.world, jobs);
    }

    fn command(&self, line: &str) -> std::process::Command {
        let args: Vec<_> = line.split(' ').collect();
        let mut command = self.world.command(&args);
        command.args(["--home", "home", "--json"]);
        command
    }

    /// Runs a command line; words are separated by single spaces.
    #[track_caller]
    fn run(&self, line: &str) -> Run {
        let run = finish(self.command(line).spawn().unwrap());
        let shown = format!("{}{}", run.stdout, run.stderr);
        assert!(!shown.contains("panicked"), "{run:#?}");
        assert!(!shown.contains(DISK_KEY), "the disk key is shown: {run:#?}");
        run
    }

    #[track_caller]
    fn ok(&self, line: &str) -> Value {
        self.run(line).expect(0).json()
    }

    /// A key vault, a key in it, and the disk key wrapped by it; returns the URLs of secret and key.
    #[track_caller]
    fn make_keys(&self, vault: &str) -> (String, String) {
        self.ok(&format!("keyvault create --name {vault} --enabled-for-disk-encryption true"));
        self.ok(&format!("keyvault key create --vault-name {vault} --name kek"));
        let line =
            format!("keyvault wrap-disk-key --vault-name {vault} --key kek --secret bek --key-file disk.key");
        let urls = self.ok(&line);
        let url = |name: &str| urls[name].as_str().unwrap().to_owned();
        (url("secretUrl"), url("keyUrl"))
    }

    /// A vault `bv` that protects the machine `web`, encrypted and with access granted.
    #[track_caller]
    fn protected() -> (Self, String, String) {
        Self::new().protect()
    }

    /// [`protected`](Self::protected), in a home that is there.
    #[track_caller]
    fn protect(self) -> (Self, String, String) {
        let home = self;
        let (secret, key) = home.make_keys("kv1");
        home.encrypted_image("web.raw", DISK_KEY, 1);
        home.ok(&format!("vm create --name web --os-disk vm/web.raw --secret-url {secret} --key-url {key}"));
        home.ok("vault create --name bv");
        home.ok("keyvault access-policy from-template --name kv1");
        home.ok("protection enable --vault-name bv --vm web");
        (home, secret, key)
    }

    /// A LUKS2 image with a MiB of noise in it.
    fn encrypted_image(&self, name: &str, key: &str, seed: u64) {
        encrypted_image(&self.world.path("vm").join(name), key, seed);
    }

    fn plain_image(&self, name: &str, seed: u64) {
        let mut random = noise(seed);
        let mut image = vec![0; SIZE];
        image[1 << 20..3 << 20].iter_mut().for_each(|b| *b = random());
        fs::write(self.world.path("vm").join(name), image).unwrap();
    }

    #[track_caller]
    fn points(&self) -> Vec<Value> {
        let list = self.ok("recoverypoint list --vault-name bv --item-name web");
        list["recoveryPoints"].as_array().unwrap().clone()
    }

    #[track_caller]
    fn latest_job(&self) -> Value {
        self.ok("job list --limit 1")["jobs"][0].clone()
    }

    /// The folder of the only repository.
    fn repository(&self) -> std::path::PathBuf {
        let mut folders = fs::read_dir(self.world.path("home/repositories")).unwrap();
        folders.next().unwrap().unwrap().path().join("repository")
    }

    /// The disk of a restored VHD is the image, and opens with `key`.
    #[track_caller]
    fn assert_restored(&self, container: &str, image: &str, key: Option<&[u8]>) {
        let vhd = fs::read(format!("{container}/os.vhd")).unwrap();
        let disk = &vhd[..vhd.len() - 512];
        assert!(disk == fs::read(self.world.path("vm").join(image)).unwrap(), "the disk differs");
        if let Some(key) = key {
            luks::unlock(&disk, key, &Limits::default()).unwrap();
        }
    }
}

/// Changes the settings of jobs of the home in a world.
pub(crate) fn set_jobs(world: &World, jobs: Value) {
    let path = world.path("home/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let settings = config["settings"]["jobs"].as_object_mut().unwrap();
    settings.extend(jobs.as_object().unwrap().clone());
    fs::write(path, config.to_string()).unwrap();
}

/// Writes a LUKS2 image that a key opens, with a MiB of noise in it.
pub(crate) fn encrypted_image(path: &Path, key: &str, seed: u64) {
    let kdf = Kdf::Pbkdf2 { hash: "sha256".into(), iterations: 1000 };
    let mut random = noise(seed);
    let mut fill = |bytes: &mut [u8]| {
        bytes.iter_mut().for_each(|b| *b = random());
        Ok(())
    };
    let formatted = luks::format(&FormatOptions::new(kdf), &[key.as_bytes()], &mut fill).unwrap();
    let mut image = vec![0; SIZE];
    image[..formatted.header().len()].copy_from_slice(formatted.header());
    let mapping = formatted.unlocked().mapping(SIZE as u64).unwrap();
    let mut data: Vec<u8> = (0..1 << 20).map(|_| random()).collect();
    mapping.encrypt(16 << 20, &mut data).unwrap();
    image[16 << 20..17 << 20].copy_from_slice(&data);
    fs::write(path, image).unwrap();
}

fn noise(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    }
}

/// The codes of a job's error details.
fn codes(details: &Value) -> Vec<&str> {
    details.as_array().unwrap().iter().map(|d| d["code"].as_str().unwrap()).collect()
}
