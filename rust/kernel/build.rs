//! Tells the tests whether they are optimized: debug assertions do not say it, for the profile "checked" has both.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(slow)");
    if std::env::var("OPT_LEVEL").is_ok_and(|level| level == "0") {
        println!("cargo::rustc-cfg=slow");
    }
}
