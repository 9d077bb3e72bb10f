//! Every instruction set that this machine can run. It is chosen once in a process, by the environment, so each gets a
//! process of its own: this test binary again, with the tests that show exactness and equal bits.

use std::ffi::OsStr;
use std::process::Command;

use rfp_kernel::simd::Backend;

const VARIABLE: &str = "RFPCORE_ISA";

/// What starts this binary, where it is not of this machine: an emulator and its arguments.
const RUNNER: &str = "RFPCORE_TEST_RUNNER";

#[test]
fn the_named_set_is_used() {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let all = Backend::available();
    let expected = all.iter().find(|b| b.name() == wanted).unwrap_or(&all[0]);
    assert_eq!(Backend::detect().name(), expected.name());
    assert_eq!(all[all.len() - 1].name(), "portable", "every machine has one");
    let can_run = wanted.is_empty() || all.iter().any(|b| b.name() == wanted);
    assert_eq!(Backend::check_request().is_ok(), can_run, "{:?}", Backend::check_request());
}

fn run_again(isa: &str, tests: &[&str]) {
    let itself = std::env::current_exe().expect("a test knows its binary");
    let runner = std::env::var(RUNNER).unwrap_or_default();
    let mut words = runner.split_whitespace().map(OsStr::new).chain([itself.as_os_str()]);
    let mut command = Command::new(words.next().expect("the binary at least"));
    let output = command.args(words).args(tests).env(VARIABLE, isa).output().expect("the binary runs again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{isa}:\n{text}");
    assert!(!text.contains("running 0 tests"), "no test is called {tests:?}");
}

#[test]
fn every_set_is_exact_and_has_the_same_bits_on_any_threads() {
    let others = Backend::available().into_iter().filter(|b| b.name() != Backend::detect().name());
    for backend in others {
        let exact = ["exactness::every_", "exactness::layers", "exactness::few_rows", "exactness::adapt"];
        let tests = [&exact[..], &["isa::the_named", "determinism::large", "determinism::few_rows"]].concat();
        run_again(backend.name(), &tests);
    }
}

#[test]
fn an_unknown_name_is_passed_over() {
    run_again("abacus", &["isa::the_named"]);
}
