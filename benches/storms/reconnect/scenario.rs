//! What happens, and under which circumstances.

use crate::parameters::Parameters;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A process is killed; the system closes all its connections at once.
    NodeDies,
    /// The load balancer restarts, and with it all connections.
    BalancerRestarts,
    /// Each node in turn is drained and started again.
    Deploy,
}

/// Where the balancer sends who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancingPolicy {
    Random,
    FewestSockets,
}

#[derive(Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub incident: Incident,
    pub balancing: BalancingPolicy,
    pub has_jitter: bool,
    /// Whether a node lets nobody in while the database makes others wait: it does not, as it is.
    pub has_admission_gate: bool,
    /// Whether clients wait ever longer until their groups are there, and not until `hello` alone.
    pub has_patient_clients: bool,
    /// Of those who have missed something, how many find that the ring does not have it, of 1.
    pub buffer_misses: f64,
    pub parameters: Parameters,
}

impl Scenario {
    fn new(incident: Incident, figures: &Parameters) -> Self {
        Self {
            name: "as it is",
            incident,
            balancing: BalancingPolicy::Random,
            has_jitter: true,
            has_admission_gate: false,
            has_patient_clients: false,
            buffer_misses: 0.0,
            parameters: figures.clone(),
        }
    }

    fn variant(&self, name: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let mut plan = Self {
            name,
            ..self.clone()
        };
        change(&mut plan);
        plan
    }
}

/// Everything that is simulated, the same disaster under several circumstances.
pub fn all_scenarios(figures: &Parameters) -> Vec<Scenario> {
    [
        Incident::NodeDies,
        Incident::BalancerRestarts,
        Incident::Deploy,
    ]
    .into_iter()
    .flat_map(|disaster| variants_of(&Scenario::new(disaster, figures)))
    .collect()
}

fn variants_of(plan: &Scenario) -> Vec<Scenario> {
    let no_jitter = plan.variant("no jitter", |plan| plan.has_jitter = false);
    let fewer_nodes = plan.variant("6 of 10 nodes, as many sockets", |plan| {
        let figures = &mut plan.parameters;
        let fewer = (figures.nodes * 6 / 10).max(2);
        figures.sockets = figures.sockets * figures.nodes / fewer;
        figures.nodes = fewer;
    });
    let always = [plan.clone(), no_jitter, fewer_nodes];
    let small = |plan: &mut Scenario| plan.parameters.database_cores = 2;
    let small_database = plan.variant("database of 2 cores", small);
    let pairs = plan.variant("groups of 2", |plan| plan.parameters.online = 2);
    let no_ring = plan.variant("no ring has it", |plan| plan.buffer_misses = 1.0);
    let more = match plan.incident {
        Incident::NodeDies => vec![small_database, pairs, no_ring],
        Incident::BalancerRestarts => vec![
            small_database.clone(),
            small_database.variant("the same, without jitter", |plan| plan.has_jitter = false),
            small_database.variant("the same, with patient clients", |plan| {
                plan.has_patient_clients = true;
            }),
            small_database.variant("the same, 2 s for a connection", |plan| {
                plan.parameters.acquire_s = 2.0;
            }),
            small_database.variant("the same, with a gate before it", |plan| {
                plan.has_admission_gate = true
            }),
            plan.variant("8 cores, with a gate", |plan| {
                plan.has_admission_gate = true
            }),
            pairs,
            no_ring,
            plan.variant("nodes of 1 core", |plan| plan.parameters.cores = 1),
            plan.variant("8,000 behind an address", |plan| {
                plan.parameters.per_network = 8000
            }),
        ],
        Incident::Deploy => vec![plan.variant("balanced by sockets", |plan| {
            plan.balancing = BalancingPolicy::FewestSockets
        })],
    };
    always.into_iter().chain(more).collect()
}
