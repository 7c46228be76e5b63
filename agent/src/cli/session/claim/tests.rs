use clap::Parser;
use skein_core::Millis;
use skein_core::session::OFFLINE_UNLIMITED;

use super::*;
use crate::cli::node::tests::shown;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    claim: ClaimArgs,
}

fn flags(line: &str) -> Result<ClaimArgs, String> {
    let line = Line::try_parse_from(["skein"].into_iter().chain(line.split_whitespace()));
    line.map(|line| line.claim).map_err(|error| error.to_string())
}

fn spec(line: &str) -> Result<SessionSpec, String> {
    let nodes = [shown("alpha", 0xa1), shown("beta", 0xb2)];
    flags(line)?.read().and_then(|asked| asked.spec(&nodes)).map_err(|error| format!("{error:#}"))
}

fn of_file(text: &str, line: &str) -> Result<SessionSpec, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    spec(&format!("-f {} {line}", file.path().display()))
}

#[test]
fn only_a_model_has_to_be_said() {
    let spec = spec("--model lite0").unwrap();
    let need = Resources { cpu_millicores: 1000, memory_bytes: 256 << 20, ..Resources::default() };
    assert_eq!(spec, SessionSpec { max: 1, ..SessionSpec::of("lite0".parse().unwrap(), "tract", need) });
}

const WHOLE: &str = r#"
model = "lite0@2"
fixed = 0
share = 3
max = 4
priority = 70
policy = "preemptive"
bind = "each"
cpu = 500
memory = "1GiB"
cpu-max = 2000
memory-max = 2048
gpu = 500
gpu-memory = "512MiB"
need = { camera = 1, licence = 2 }
retry-local = 0
retry-hosts = 1
retry-back-off = "100ms"
grace = "5s"
task-time = "90s"
offline = "unlimited"
refuse-unfit = true
target = "tract"
"#;

const WHOLE_FLAGS: &str = "--model lite0@2 --fixed 0 --share 3 --max 4 --priority 70 --policy preemptive --bind each \
    --cpu 500 --memory 1GiB --cpu-max 2000 --memory-max 2048 --gpu 500 --gpu-memory 512MiB --need camera=1 --need licence=2 \
    --retry-local 0 --retry-hosts 1 --retry-back-off 100ms --grace 5s --task-time 90s --offline unlimited --refuse-unfit --target tract";

#[test]
fn the_file_says_what_the_flags_say() {
    let by_file = of_file(WHOLE, "").unwrap();
    assert_eq!(by_file, spec(WHOLE_FLAGS).unwrap());
    let need_max = by_file.need_max.unwrap();
    assert_eq!((need_max.cpu_millicores, need_max.memory_bytes), (2000, 2 << 30));
    assert_eq!((need_max.gpu_milli, need_max.of_name("licence")), (500, 2));
    assert_eq!(by_file.retry, Retry { local: 0, hosts: 1, back_off: Millis(100) });
    assert_eq!((by_file.grace, by_file.hold), (Millis(5000), Some(Hold::EachDevice)));
    assert!(by_file.refuse_unfit);
    assert_eq!((by_file.task_time, by_file.offline), (Millis(90_000), OFFLINE_UNLIMITED));
}

#[test]
fn flags_are_stronger_than_the_file() {
    let spec = of_file(WHOLE, "--priority 10 --exclusive node --need camera=3 --refuse-unfit=false").unwrap();
    assert_eq!((spec.priority, spec.hold, spec.refuse_unfit), (10, Some(Hold::Node), false));
    assert_eq!((spec.need.of_name("camera"), spec.need.of_name("licence")), (3, 0));
    assert_eq!(spec.share, 3);
}

#[test]
fn a_session_is_bound_to_a_device_that_is_there() {
    let hold = Some(Hold::Named { node: skein_core::NodeId(0xb2), device: "cpu".into() });
    assert_eq!(spec("--model m --bind beta/cpu").unwrap().hold, hold);
    assert_eq!(of_file("model = 'm'\nbind = '00000000000000b2/cpu'", "").unwrap().hold, hold);
    assert!(spec("--model m --bind gamma/cpu").unwrap_err().contains("alpha (00000000000000a1)"));
    assert!(spec("--model m --bind beta/gpu0").unwrap_err().contains("it has: cpu"));
    assert!(spec("--model m --bind beta").unwrap_err().contains("NODE/DEVICE"));
    assert!(spec("--model m --bind each --exclusive node").unwrap_err().contains("--exclusive"));
    assert!(of_file("model = 'm'\nbind = 'each'\nexclusive = 'node'", "").unwrap_err().contains("both"));
}

#[test]
fn a_wrong_file_says_which_where_and_what() {
    let wrong = |text: &str, words: &[&str]| {
        let error = of_file(text, "").unwrap_err();
        for word in [&["session file", "/tmp"], words].concat() {
            assert!(error.contains(word), "'{word}' should be in: {error}");
        }
    };
    wrong("modle = 'lite0'", &["line 1", "modle", "unknown field", "refuse-unfit"]);
    wrong("model = 'lite0'\nmemory = '12 parsecs'", &["line 2", "memory", "parsecs", "256MiB"]);
    wrong("model = 'lite0'\nmemory = -1", &["line 2", "memory", "-1"]);
    wrong("model = 'lite0'\nmemory = 1.5", &["line 2", "memory", "whole number"]);
    wrong("model = 'lite0'\nfixed = -1", &["line 2", "fixed", "-1"]);
    wrong("model = 'lite0'\nfixed = 99999999999", &["line 2", "fixed", "99999999999"]);
    wrong("model = 'lite0'\ngrace = 'soon'", &["line 2", "grace"]);
    wrong("model = 'lite0'\npolicy = 'fair'", &["line 2", "policy", "gpu-binding"]);
    wrong("model = 'lite0'\nneed = { camera = -1 }", &["line 2", "camera"]);
    wrong("model = 'lite0'\npriority = 101", &["101", "the highest is 100"]);
    wrong("model = 'lite0'\nshare = 1", &["--max"]);
    wrong("fixed = 2", &["no model"]);
    wrong("model", &["line 1"]);
    wrong(&"# no end\n".repeat(8_000), &["more than 65536 bytes"]);
    let error = spec("-f /no/such/session.toml").unwrap_err();
    assert!(error.contains("/no/such/session.toml") && error.contains("No such file"), "{error}");
}

#[test]
fn numbers_that_make_no_sense_are_refused_at_the_door() {
    let wrong = |line: &str, word: &str| {
        let error = spec(&format!("--model m {line}")).unwrap_err();
        assert!(error.contains(word), "'{word}' should be in: {error}");
    };
    wrong("--fixed 0", "no worker");
    wrong("--fixed -1", "--fixed");
    wrong("--fixed 4294967296", "--fixed");
    wrong("--fixed 5000", "4096");
    wrong("--share 2", "--max");
    wrong("--max 2", "--share");
    wrong("--share 5000 --max 2", "1000");
    wrong("--priority 101", "--priority");
    wrong("--cpu 0", "cpu");
    wrong("--cpu 18446744073709551615", "beyond all machines");
    wrong("--memory 18446744073709551615", "any machine");
    wrong("--memory 0", "memory");
    wrong("--cpu-max 999", "--cpu-max");
    wrong("--grace 11m", "grace");
    wrong("--grace soon", "--grace");
    wrong("--task-time 0s", "task time");
    wrong("--task-time 25h", "task time");
    wrong("--offline soon", "unlimited");
    wrong("--offline 400d", "offline");
    wrong("--need camera", "NAME=COUNT");
    wrong("--need camera=-1", "count");
    wrong("--need camera=1 --need camera=2", "twice");
    wrong("--policy fair", "gpu-binding");
}
