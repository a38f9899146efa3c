//! What every request passes on its way in, besides what Loco has.

mod request_log;

use loco_rs::{
    app::AppContext,
    controller::middleware::{MiddlewareLayer, default_middleware_stack},
};

/// Loco's own, in its order, the last being the first to see a request; with our log of requests in
/// place of its one.
pub fn stack(ctx: &AppContext) -> Vec<Box<dyn MiddlewareLayer>> {
    let own = |layer: Box<dyn MiddlewareLayer>| -> Box<dyn MiddlewareLayer> {
        if layer.name() != request_log::MIDDLEWARE_NAME {
            return layer;
        }
        let is_enabled = layer.is_enabled();
        Box::new(request_log::RequestLog { is_enabled })
    };
    default_middleware_stack(ctx).into_iter().map(own).collect()
}
