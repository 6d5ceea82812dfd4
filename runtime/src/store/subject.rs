//! How a subject of the store is declared: once, for the trait and for the stores made of other stores.

/// Declares the trait of a subject, where [`StoreError`](crate::store::StoreError) is in scope. An operation is written with what it returns on success; it is a
/// future of that or of an error, and it is handed on by stores
/// behind a [`Gate`](crate::store::Gate) and by the store that a daemon is configured with.
macro_rules! subject {
    (
        $(#[$about:meta])*
        pub trait $subject:ident {
            $(
                $(#[$does:meta])*
                fn $operation:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $out:ty;
            )*
        }
    ) => {
        $(#[$about])*
        pub trait $subject: Clone + Send + Sync + 'static {
            $(
                $(#[$does])*
                fn $operation(
                    &self,
                    $($arg: $type),*
                ) -> impl Future<Output = Result<$out, StoreError>> + Send;
            )*
        }

        impl<S: $subject, G: $crate::store::Gate> $subject for $crate::store::Gated<S, G> {
            $(
                async fn $operation(
                    &self,
                    $($arg: $type),*
                ) -> Result<$out, StoreError> {
                    self.gate.before(stringify!($operation)).await?;
                    let answer = self.store.$operation($($arg),*).await;
                    self.gate.after(stringify!($operation)).await?;
                    answer
                }
            )*
        }

        impl $subject for $crate::store::AnyStore {
            $(
                async fn $operation(
                    &self,
                    $($arg: $type),*
                ) -> Result<$out, StoreError> {
                    match self {
                        Self::Embedded(store) => store.$operation($($arg),*).await,
                        Self::Redis(store) => store.$operation($($arg),*).await,
                    }
                }
            )*
        }
    };
}
