//! Migrations are compiled in: a new file under `migrations` has to reach the binary.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
