//! Renders a run's folder: `cargo run -p placebench-report --example render_sample -- RUN-FOLDER OUT-FOLDER`.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use placebench_core::record::{Attempt, RunRecord};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let run = arguments.next().ok_or("usage: render_sample RUN-FOLDER OUT-FOLDER")?;
    let out = arguments.next().ok_or("usage: render_sample RUN-FOLDER OUT-FOLDER")?;
    let record = read(Path::new(&run))?;
    for artifact in placebench_report::artifacts(&record)? {
        let path = Path::new(&out).join(&artifact.path);
        fs::create_dir_all(path.parent().ok_or("a path without a folder")?)?;
        fs::write(path, artifact.bytes)?;
    }
    fs::write(
        Path::new(&out).join("report.md"),
        placebench_report::format::markdown::render(&placebench_report::view::ReportView::new(&record)),
    )?;
    Ok(())
}

fn read(folder: &Path) -> Result<RunRecord, Box<dyn Error>> {
    let lines = fs::read_to_string(folder.join("attempts.jsonl"))?;
    Ok(RunRecord {
        info: serde_json::from_slice(&fs::read(folder.join("run.json"))?)?,
        attempts: lines
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<Vec<Attempt>, _>>()?,
        verdict: serde_json::from_slice(&fs::read(folder.join("verdict.json"))?)?,
    })
}
