//! The command.
fn main() {
    let from: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(0);
    let n: u64 = std::env::args().nth(2).and_then(|a| a.parse().ok()).unwrap_or(1);
    let t = std::time::Instant::now();
    let mut steps = 0;
    let mut ops = 0;
    let mut failed = 0;
    let mut heal = vec![];
    let mut faults = comptoir_sim::fault::Faults::default();
    for seed in from..from + n {
        let plan = comptoir_sim::plan::Plan::draw(seed);
        let out = comptoir_sim::world::run(&plan, n == 1);
        steps += out.steps;
        ops += out.operations;
        faults.add(&out.faults);
        heal.push(out.healed_ms);
        if n == 1 {
            for l in &out.trace {
                println!("{l}");
            }
            println!("{:x}", out.trace_hash);
        }
        if let Some(v) = out.violation {
            failed += 1;
            println!("seed {seed}: {v}");
        }
    }
    heal.sort();
    println!(
        "{n} seeds {failed} failed {steps} steps {ops} ops heal p50 {} max {} {:?}",
        heal[heal.len() / 2],
        heal[heal.len() - 1],
        t.elapsed()
    );
    for (f, c) in faults.iter() {
        print!("{}={c} ", f.name());
    }
    println!();
}
