//! Pages of comparisons, and pages that open by themselves: never where nobody looks, and never at the price of an answer.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::env::{Ran, TestEnv};
use crate::terminal::Terminal;

/// Two placements, one of which two runs may differ in.
fn write_suite(env: &TestEnv, last: u32) {
    env.scenario(
        "s",
        &format!(
            "[placement.single]\ndevice_map = \"sim:0\"\n[placement.split]\n\
             device_map = {{ \"model.embed_tokens\" = \"sim:0\", \"model.layers.0-{last}\" = \"sim:0\", \"\" = \"sim:1\" }}\n\
             [measure]\nwarmup = 0\nrepetitions = 3\n"
        ),
    );
}

fn run(env: &TestEnv) -> String {
    let ran = env.run(&["run", "suite"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    env.latest().file_name().unwrap().to_str().unwrap().to_owned()
}

/// Two runs, the second with modules elsewhere.
fn two_runs() -> (TestEnv, String, String) {
    let env = TestEnv::new();
    write_suite(&env, 3);
    let base = run(&env);
    write_suite(&env, 5);
    let new = run(&env);
    (env, base, new)
}

#[test]
fn a_comparison_is_written_as_a_page() {
    let (env, base, new) = two_runs();
    let args = [
        "compare",
        base.as_str(),
        &new,
        "--format",
        "html",
        "--output",
        "pages/out.html",
    ];
    let ran = env.run(&args);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(100), "pages/out.html\n"),
        "{ran:?}"
    );
    let page = fs::read_to_string(env.path("pages/out.html")).unwrap();
    for words in [
        "1 case worse or different",
        "2 of 11 modules moved",
        "layers.4 – layers.5 from sim:1 to sim:0",
        "its placement changed",
        "exit code 100",
    ] {
        assert!(page.contains(words), "{words}");
    }
    // The way to the reports of both runs leads there.
    for run in [&base, &new] {
        let link = format!("../reports/{run}/report.html");
        assert!(page.replace("&#x2f;", "/").contains(&link), "{link}");
        assert!(env.path("pages").join(&link).is_file());
    }
    let out = env.run(&["compare", &base, &new, "--format", "html"]);
    assert_eq!(out.code, Some(100));
    assert!(out.stdout.starts_with("<!doctype html>") && out.stdout.ends_with("</html>\n"));
    assert!(!out.stdout.contains("href=\"../"), "nobody knows where it will lie");
    let again = env.run(&["compare", &base, &new, "--format", "html"]);
    assert_eq!(out.stdout, again.stdout);
}

#[test]
fn placements_and_baselines_are_pages_too() {
    let (env, base, new) = two_runs();
    let ran = env.run(&["compare", &new, "--placements", "--format", "html"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in ["s/p/split against single", "Both sides are one run"] {
        assert!(ran.stdout.replace("&#x2f;", "/").contains(words), "{words}");
    }
    assert!(!ran.stdout.contains("modules moved"), "they are meant to be elsewhere");
    write_suite(&env, 3);
    let saved = env.run(&["run", "suite", "--save-baseline", "main"]);
    assert_eq!(saved.code, Some(0), "{saved:?}");
    let ran = env.run(&["compare", "baseline:main", &base, "--format", "html"]);
    assert!(matches!(ran.code, Some(0 | 112)), "{ran:?}");
    assert!(ran.stdout.contains("baseline "), "{}", ran.stdout);
    let moved = env.run(&["compare", "baseline:main", &new, "--format", "html"]);
    assert_eq!(moved.code, Some(100));
    assert!(moved.stdout.contains("2 of 11 modules moved"));
}

#[test]
fn flags_of_pages_belong_to_pages() {
    let (env, base, new) = two_runs();
    for args in [
        &["compare", base.as_str(), new.as_str(), "--output", "x.html"][..],
        &["compare", &base, &new, "--format", "html", "--open"],
        &["compare", &base, &new, "--format", "html", "--output", ".."],
        &["history", "trend", "--open"],
        &["report", "--open", "--format", "csv"],
    ] {
        let ran = env.run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
    }
    assert!(!env.path("x.html").exists());
}

#[test]
fn the_terminal_shows_what_fits_and_the_worst_first() {
    let (env, base, new) = two_runs();
    for width in [60, 80, 200] {
        let mut command = env.command(&["compare", &base, &new]);
        command.env("NO_COLOR", "1").env("TERM", "xterm");
        let (_, shown) = Terminal::start(command, width).end();
        assert!(!shown.contains('\u{1b}'), "{shown}");
        let table = shown
            .lines()
            .skip_while(|line| !line.contains("case, what"))
            .take_while(|line| !line.contains("  - "));
        let lines: Vec<&str> = table.collect();
        assert!(lines.len() > 5, "{shown}");
        assert!(
            lines.iter().all(|line| line.chars().count() <= usize::from(width)),
            "{shown}"
        );
        assert!(
            lines[1] == "s/p/split" && shown.contains("weights_bytes (sim:0)"),
            "{shown}"
        );
    }
}

/// An opener that writes down what it is asked to open.
fn opener(env: &TestEnv, script: &str) {
    env.write("bin/xdg-open", script);
    fs::set_permissions(env.path("bin/xdg-open"), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The binary on a desktop of its own, where only the opener of the test is.
fn on_desktop(env: &TestEnv, args: &[&str], variables: &[(&str, &str)]) -> Ran {
    let mut command = env.command(args);
    command
        .env("PATH", env.path("bin"))
        .env("DISPLAY", ":99")
        .envs(variables.iter().copied());
    Ran::of(command.output().unwrap())
}

const NOTE_DOWN: &str = "#!/bin/sh\nprintf '%s\\n' \"$#\" \"$1\" > \"$HOME/opened\"\n";

fn opened(env: &TestEnv) -> Option<String> {
    fs::read_to_string(env.path("opened")).ok()
}

#[test]
fn a_page_is_handed_to_the_opener_whatever_its_name() {
    let (env, base, new) = two_runs();
    opener(&env, NOTE_DOWN);
    let odd = "a 'quoted' \"folder\" $HOME; x/out.html";
    let args = [
        "compare",
        base.as_str(),
        &new,
        "--format",
        "html",
        "--output",
        odd,
        "--open",
    ];
    let ran = on_desktop(&env, &args, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(100), ""), "{ran:?}");
    let page = env.path("").canonicalize().unwrap().join(odd);
    assert_eq!(opened(&env).unwrap(), format!("1\n{}\n", page.display()));
    let report = on_desktop(&env, &["report", "reports/latest", "--open"], &[]);
    assert_eq!(
        (report.code, report.stdout.as_str()),
        (Some(0), "reports/latest/report.html\n")
    );
    assert!(opened(&env).unwrap().ends_with("reports/latest/report.html\n"));
    assert_eq!(env.run(&["history", "import"]).code, Some(0));
    assert_eq!(
        on_desktop(&env, &["history", "trend", "--format", "html", "--open"], &[]).code,
        Some(0)
    );
    assert!(opened(&env).unwrap().ends_with("reports/trend.html\n"));
    let ran = on_desktop(&env, &["run", "suite", "--open"], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(opened(&env).unwrap().ends_with(&format!(
        "{}/report.html\n",
        env.latest().file_name().unwrap().to_str().unwrap()
    )));
}

#[test]
fn where_nobody_looks_nothing_opens_and_the_path_is_said() {
    let env = TestEnv::new();
    write_suite(&env, 3);
    run(&env);
    opener(&env, NOTE_DOWN);
    let asked = ["report", "reports/latest", "--open"];
    let said = |ran: &Ran, why: &str| {
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(0), "reports/latest/report.html\n"),
            "{ran:?}"
        );
        assert!(
            ran.stderr.contains(why) && ran.stderr.contains("reports/latest/report.html"),
            "{ran:?}"
        );
        assert_eq!(opened(&env), None, "{ran:?}");
    };
    said(&on_desktop(&env, &asked, &[("CI", "true")]), "CI job (CI is set)");
    said(&on_desktop(&env, &asked, &[("DISPLAY", "")]), "no display");
    // No opener, and one that fails.
    fs::remove_file(env.path("bin/xdg-open")).unwrap();
    said(&on_desktop(&env, &asked, &[]), "no opener was found");
    opener(&env, "#!/bin/sh\nexit 3\n");
    said(&on_desktop(&env, &asked, &[]), "xdg-open refused it");
    // Who does not ask gets no note.
    let quiet = on_desktop(&env, &["report", "reports/latest"], &[]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
}
