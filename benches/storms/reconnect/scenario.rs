//! The simulated incidents and their variants.

use crate::parameters::Parameters;

/// An incident that ends connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A process is killed, and the system closes all its connections at once.
    NodeDies,
    /// The load balancer restarts, which closes all connections.
    BalancerRestarts,
    /// Each node in turn is drained and restarted.
    Deploy,
}

/// The rule by which the balancer selects a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancingPolicy {
    /// A random node.
    Random,
    /// The node with the fewest sockets.
    FewestSockets,
}

/// An incident with its circumstances.
#[derive(Clone)]
pub struct Scenario {
    /// The name of the variant.
    pub name: &'static str,
    /// The incident.
    pub incident: Incident,
    /// The rule of the balancer.
    pub balancing: BalancingPolicy,
    /// `true` if clients add jitter to their backoff.
    pub has_jitter: bool,
    /// `true` if a node rejects clients while the database is slow. The real server does not.
    pub has_admission_gate: bool,
    /// `true` if clients increase their backoff until they are subscribed, and not only until
    /// `hello`.
    pub has_patient_clients: bool,
    /// The share of clients with missed events that the event buffer does not contain, 0 to 1.
    pub buffer_misses: f64,
    /// The parameters.
    pub parameters: Parameters,
}

impl Scenario {
    fn new(incident: Incident, parameters: &Parameters) -> Self {
        Self {
            name: "as it is",
            incident,
            balancing: BalancingPolicy::Random,
            has_jitter: true,
            has_admission_gate: false,
            has_patient_clients: false,
            buffer_misses: 0.0,
            parameters: parameters.clone(),
        }
    }

    fn variant(&self, name: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let mut scenario = Self {
            name,
            ..self.clone()
        };
        change(&mut scenario);
        scenario
    }
}

/// Returns all simulated scenarios: each incident in several variants.
pub fn all_scenarios(parameters: &Parameters) -> Vec<Scenario> {
    [
        Incident::NodeDies,
        Incident::BalancerRestarts,
        Incident::Deploy,
    ]
    .into_iter()
    .flat_map(|incident| variants_of(&Scenario::new(incident, parameters)))
    .collect()
}

fn variants_of(base: &Scenario) -> Vec<Scenario> {
    let no_jitter = base.variant("no jitter", |scenario| scenario.has_jitter = false);
    let fewer_nodes = base.variant("6 of 10 nodes, as many sockets", |scenario| {
        let parameters = &mut scenario.parameters;
        let nodes = (parameters.nodes * 6 / 10).max(2);
        parameters.sockets = parameters.sockets * parameters.nodes / nodes;
        parameters.nodes = nodes;
    });
    let common = [base.clone(), no_jitter, fewer_nodes];
    let small_database = base.variant("database of 2 cores", |scenario| {
        scenario.parameters.database_cores = 2;
    });
    let pairs = base.variant("groups of 2", |scenario| scenario.parameters.online = 2);
    let empty_buffers = base.variant("empty event buffers", |scenario| {
        scenario.buffer_misses = 1.0;
    });
    let specific = match base.incident {
        Incident::NodeDies => vec![small_database, pairs, empty_buffers],
        Incident::BalancerRestarts => vec![
            small_database.clone(),
            small_database.variant("the same, without jitter", |scenario| {
                scenario.has_jitter = false;
            }),
            small_database.variant("the same, with patient clients", |scenario| {
                scenario.has_patient_clients = true;
            }),
            small_database.variant("the same, 2 s for a connection", |scenario| {
                scenario.parameters.acquire_s = 2.0;
            }),
            small_database.variant("the same, with an admission gate", |scenario| {
                scenario.has_admission_gate = true;
            }),
            base.variant("8 cores, with an admission gate", |scenario| {
                scenario.has_admission_gate = true;
            }),
            pairs,
            empty_buffers,
            base.variant("nodes of 1 core", |scenario| scenario.parameters.cores = 1),
            base.variant("8,000 clients behind an address", |scenario| {
                scenario.parameters.per_network = 8000;
            }),
        ],
        Incident::Deploy => vec![base.variant("balanced by sockets", |scenario| {
            scenario.balancing = BalancingPolicy::FewestSockets;
        })],
    };
    common.into_iter().chain(specific).collect()
}
