mod base_socket;
mod broker;
mod nodes;
mod order;
mod pressure;
mod protocol;
mod refusals;
mod storage;
