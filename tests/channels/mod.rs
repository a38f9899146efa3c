mod base_socket;
mod broker;
mod nodes;
mod pressure;
mod protocol;
mod refusals;
mod storage;
