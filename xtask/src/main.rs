//! The project's own chores, as one program: `cargo xtask <chore>`.

fn main() -> anyhow::Result<()> {
    Ok(())
}
