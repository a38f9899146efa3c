//! The resources of this process, by the names that all Prometheus clients use.
//!
//! Source: <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>

use super::Samples;

/// Adds the resources of this process. Adds nothing where the system does not tell them.
///
/// The call reads files of the kernel and may take milliseconds for a process with many open files.
#[cfg(target_os = "linux")]
pub(super) fn add_process_metrics(samples: &mut Samples) {
    use procfs::{CurrentSI, WithCurrentSystemInfo, process::Process};

    use super::histogram::to_f64;

    let Ok(process) = Process::myself() else {
        return;
    };
    if let Ok(stat) = process.stat() {
        let ticks_per_second = to_f64(procfs::ticks_per_second());
        let cpu = to_f64(stat.utime + stat.stime) / ticks_per_second;
        samples.counter("process_cpu_seconds", "CPU time in seconds", cpu);
        let resident = stat.rss_bytes().get();
        samples.gauge(
            "process_resident_memory_bytes",
            "Memory in RAM, in bytes",
            to_f64(resident),
        );
        samples.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory in bytes",
            to_f64(stat.vsize),
        );
        let threads = u64::try_from(stat.num_threads).unwrap_or_default();
        samples.gauge(
            "process_threads",
            "Threads of the operating system",
            to_f64(threads),
        );
        if let Ok(kernel) = procfs::KernelStats::current() {
            let started_at = to_f64(kernel.btime) + to_f64(stat.starttime) / ticks_per_second;
            samples.gauge(
                "process_start_time_seconds",
                "Start of the process, in seconds since 1970",
                started_at,
            );
        }
    }
    if let Ok(open) = process.fd_count() {
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        samples.gauge("process_open_fds", "Open file descriptors", to_f64(open));
    }
    if let Ok((soft, _)) = rlimit::getrlimit(rlimit::Resource::NOFILE) {
        samples.gauge(
            "process_max_fds",
            "Limit of open file descriptors",
            to_f64(soft),
        );
    }
}

/// Adds nothing on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn add_process_metrics(_: &mut Samples) {}
