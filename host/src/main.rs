//! The `mixel` command.

fn main() -> std::process::ExitCode {
    mixel::cli::main()
}
