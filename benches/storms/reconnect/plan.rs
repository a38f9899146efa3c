//! What happens, and under which circumstances.

use crate::figures::Figures;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// A process is killed; the system closes all its connections at once.
    NodeDies,
    /// The load balancer restarts, and with it all connections.
    BalancerRestarts,
    /// Each node in turn is drained and started again.
    Deploy,
}

/// Where the balancer sends who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    Random,
    FewestSockets,
}

#[derive(Clone)]
pub struct Plan {
    pub name: &'static str,
    pub disaster: Disaster,
    pub balance: Balance,
    pub has_jitter: bool,
    /// Whether a node lets nobody in while the database makes others wait: it does not, as it is.
    pub is_gated: bool,
    /// Whether clients wait ever longer until their groups are there, and not until `hello` alone.
    pub is_patient: bool,
    /// Of those who have missed something, how many find that the ring does not have it, of 1.
    pub ring_misses: f64,
    pub figures: Figures,
}

impl Plan {
    fn new(disaster: Disaster, figures: &Figures) -> Self {
        Self {
            name: "as it is",
            disaster,
            balance: Balance::Random,
            has_jitter: true,
            is_gated: false,
            is_patient: false,
            ring_misses: 0.0,
            figures: figures.clone(),
        }
    }

    fn but(&self, name: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let mut plan = Self {
            name,
            ..self.clone()
        };
        change(&mut plan);
        plan
    }
}

/// Everything that is simulated, the same disaster under several circumstances.
pub fn plans(figures: &Figures) -> Vec<Plan> {
    [
        Disaster::NodeDies,
        Disaster::BalancerRestarts,
        Disaster::Deploy,
    ]
    .into_iter()
    .flat_map(|disaster| under_all_circumstances(&Plan::new(disaster, figures)))
    .collect()
}

fn under_all_circumstances(plan: &Plan) -> Vec<Plan> {
    let no_jitter = plan.but("no jitter", |plan| plan.has_jitter = false);
    let fewer_nodes = plan.but("6 of 10 nodes, as many sockets", |plan| {
        let figures = &mut plan.figures;
        let fewer = (figures.nodes * 6 / 10).max(2);
        figures.sockets = figures.sockets * figures.nodes / fewer;
        figures.nodes = fewer;
    });
    let always = [plan.clone(), no_jitter, fewer_nodes];
    let small = |plan: &mut Plan| plan.figures.database_cores = 2;
    let small_database = plan.but("database of 2 cores", small);
    let pairs = plan.but("groups of 2", |plan| plan.figures.online = 2);
    let no_ring = plan.but("no ring has it", |plan| plan.ring_misses = 1.0);
    let more = match plan.disaster {
        Disaster::NodeDies => vec![small_database, pairs, no_ring],
        Disaster::BalancerRestarts => vec![
            small_database.clone(),
            small_database.but("the same, without jitter", |plan| plan.has_jitter = false),
            small_database.but("the same, with patient clients", |plan| {
                plan.is_patient = true;
            }),
            small_database.but("the same, 2 s for a connection", |plan| {
                plan.figures.acquire_s = 2.0;
            }),
            small_database.but("the same, with a gate before it", |plan| {
                plan.is_gated = true
            }),
            plan.but("8 cores, with a gate", |plan| plan.is_gated = true),
            pairs,
            no_ring,
            plan.but("nodes of 1 core", |plan| plan.figures.cores = 1),
            plan.but("8,000 behind an address", |plan| {
                plan.figures.per_network = 8000
            }),
        ],
        Disaster::Deploy => vec![plan.but("balanced by sockets", |plan| {
            plan.balance = Balance::FewestSockets
        })],
    };
    always.into_iter().chain(more).collect()
}
