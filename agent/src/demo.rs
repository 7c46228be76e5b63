//! `skein demo`: the whole of it on one machine, with nothing simulated: three agents as processes, a real model, real
//! pictures, two kills, and the account.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::client::{Client, Order, TaskStream};
use fleet::Fleet;
use material::Material;
pub use report::Report;

pub mod fleet;
mod kills;
mod material;
mod mesh;
mod report;
mod stream;

/// Agents of the demo: as many as outlive the loss of one.
const AGENTS: usize = 3;
/// Fixed workers of the demo's session: on two nodes, so that the third can take over.
const WORKERS: u32 = 2;
/// The whole demo takes well below a minute on two cores; after this something hangs.
const TIME_MAX: Duration = Duration::from_secs(300);

/// How to run the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tasks to stream at least.
    pub tasks: u64,
    /// Where model and pictures are.
    pub material: Option<std::path::PathBuf>,
    /// Whether to show what goes on.
    pub progress: bool,
}

/// Runs the demo. Whatever it ends with, also SIGINT or SIGTERM, its agents and directories are gone afterwards.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // The fleet lives outside what may be cut short, so that its end is orderly in every case.
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut fleet = Fleet::new(program)?;
    let result = tokio::select! {
        result = show(&options, &mut fleet) => result,
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted; the demo's agents are ended and its files removed")),
        _ = terminate.recv() => Err(anyhow::anyhow!("told to stop; the demo's agents are ended and its files removed")),
        () = tokio::time::sleep(TIME_MAX) => {
            Err(anyhow::anyhow!("the demo hangs: it should be over within {} s", TIME_MAX.as_secs()))
        }
    };
    let result = result.map_err(|error| match fleet.last_words() {
        words if words.is_empty() => error,
        words => error.context(format!("the demo failed; its agents' last words:\n{words}")),
    });
    fleet.end();
    result
}

async fn show(options: &Options, fleet: &mut Fleet) -> anyhow::Result<Report> {
    let material = Material::find(options.material.as_deref())?;
    let bar = progress(options);
    // 1. Three agents, one of which founds the mesh.
    bar.set_message("starting three agents");
    let begin = Instant::now();
    for _ in 0..AGENTS {
        fleet.start_one().await?;
    }
    mesh::wait_until_whole(&fleet.addresses(), fleet.len()).await.context("the three agents did not form a mesh")?;
    let formed = begin.elapsed();
    // 2. A model and a session on it.
    bar.set_message("adding the model and opening a session");
    let client = Client::connect(&fleet.addresses()).await?;
    let session = mesh::open_session(&client, &material, WORKERS).await?;
    mesh::wait_for_workers(&fleet.addresses(), session, WORKERS, &[]).await.context("the workers did not start")?;
    // 3. Who dies first, who last, and who serves the client meanwhile.
    let cast = kills::cast(&client, session).await?;
    let gateway = fleet.address_of(cast.gateway).context("the gateway's agent is not one of ours")?;
    let mut client = Client::connect(&[gateway]).await?;
    client.learn_addresses().await?;
    let tasks = TaskStream::open(client, session, Order::Kept).await?;
    // 4. The stream and the kills, side by side: the kills follow the stream's progress, the stream ends after the kills.
    let (delivered, progress) = watch::channel(0);
    let (over, kills_over) = watch::channel(false);
    let killing = async {
        let kills = kills::carry_out(fleet, &cast, session, options.tasks, progress, &bar).await;
        let _ = over.send(true);
        kills
    };
    let streaming = stream::run(tasks, &material, options.tasks, delivered, kills_over, &bar);
    let (record, kills) = tokio::join!(streaming, killing);
    let (record, kills) = (record?, kills?);
    bar.finish_and_clear();
    if record.results.is_empty() {
        bail!("no result came at all");
    }
    Ok(Report::new(&material, &record, &kills, formed))
}

fn progress(options: &Options) -> ProgressBar {
    if !options.progress {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(options.tasks);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} tasks  {elapsed}  {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
