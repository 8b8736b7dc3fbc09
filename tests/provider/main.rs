//! Live pulls against servers that speak the providers' protocols, on loopback.
//!
//! Peers: kubereach's own servers, one of AWS and one of Azure Resource Manager, which answer from documents, with faults
//! as told; and moto, an AWS-compatible server of others, through whose API a region is made and then read back by boto3,
//! the parser of the provider's command line. `tests/run` installs moto under `target/`; where it is missing its cases are
//! counted and named, and `KUBEREACH_LAB=required` makes that a failure.

#![expect(clippy::print_stdout, reason = "figures, and what was not run, are for the reader")]
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

#[cfg(feature = "azure")]
mod arm;
#[cfg(feature = "azure")]
mod arm_documents;
#[cfg(feature = "azure")]
mod arm_verify;
mod documents;
mod moto;
mod recorded;
mod same;
mod ssm;
mod verify;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_none() {
        return with_environment_of_its_own();
    }
    let arguments = Arguments::from_args();
    #[cfg(feature = "azure")]
    let _identity = arm::identity();
    let required = std::env::var("KUBEREACH_LAB").is_ok_and(|value| value == "required");
    let mut trials = recorded::trials();
    let mut not_run = Vec::new();
    for (name, test) in moto::TRIALS {
        match moto::python() {
            Ok(_) => trials.push(Trial::test(*name, move || test().map_err(Failed::from))),
            Err(reason) => {
                not_run.push(*name);
                let label = if required { (*name).to_owned() } else { format!("{name} [not run: {reason}]") };
                trials.push(Trial::test(label, || Err(Failed::from(reason))).with_ignored_flag(!required));
            }
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!(
            "provider: {} of {} cases with moto not run {}",
            not_run.len(),
            moto::TRIALS.len(),
            not_run.join(", ")
        );
    }
    conclusion.exit_code()
}

/// The SDK reads credentials and proxies from the environment: the tests get one that holds none of this host's.
fn with_environment_of_its_own() -> ExitCode {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(std::env::args_os().skip(1)).env(CHILD, "1");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_uppercase();
        let login = ["AWS_", "AZURE_", "IDENTITY_", "MSI_", "IMDS_"].iter().any(|begin| text.starts_with(begin));
        if login || text.ends_with("_PROXY") || text == "SOURCE_DATE_EPOCH" {
            command.env_remove(name);
        }
    }
    command.envs(ENVIRONMENT.iter().copied());
    // A port that nothing listens on at the moment; the tests' identity endpoint will.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    command.env("IDENTITY_ENDPOINT", format!("http://{free}/msi/token"));
    let status = command.status().unwrap();
    ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(101))
}

const CHILD: &str = "KUBEREACH_PROVIDER_TESTS";
const ENVIRONMENT: &[(&str, &str)] = &[
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("IDENTITY_HEADER", "the-header-of-the-tests"),
];
