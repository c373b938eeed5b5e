//! `seeds FOLDER`: writes each target's honest inputs into a folder of its name, for a campaign to begin with. Must not know
//! what becomes of them.

use comptoir_fuzz::TARGETS;
use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let folder = PathBuf::from(env::args().nth(1).expect("a folder to write to"));
    for target in &TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder).expect("a folder");
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).expect("a file");
        }
    }
}
