//! How an administrator's command becomes a record: allowed or not, and what it leaves.
use crate::catalog::CatalogItem;
use crate::command::{AdminCommand, ItemChange, Note, PoolStatus, Rejection};
use crate::ids::{ItemIndex, PoolNumber};
use crate::limits::POOLS_MAX;
use crate::name::ItemId;
use crate::pool::{Item, Pool};
use crate::record::{ItemAdded, ItemRetired, PoolCreated, PoolStateChanged, Record, Update};
use crate::state::State;

impl State {
    /// Works out the record of a change, to be logged and applied. `None` when all is already as
    /// the command wants it, so that there is nothing to log.
    pub fn decide(&self, command: &AdminCommand) -> Result<Option<Record<'static>>, Rejection> {
        match command {
            AdminCommand::CreatePool { spec, commitment } => {
                let pool = self.plan_pool(spec.id.as_str())?;
                Ok(Some(Record::PoolCreated(Box::new(PoolCreated {
                    pool,
                    id: spec.id.clone(),
                    catalog: spec.catalog.clone(),
                    selector: spec.selector,
                    keys: spec.keys,
                    commitment: *commitment,
                }))))
            }
            AdminCommand::UpdateItem { pool, item, change, note } => {
                self.decide_update(*pool, item, *change, note)
            }
            AdminCommand::AddItem { pool, item, note } => self.decide_addition(*pool, item, note),
            AdminCommand::RetireItem { pool, item, note } => {
                self.decide_retirement(*pool, item, note)
            }
            AdminCommand::SetStatus { pool, status, note } => {
                self.decide_status(*pool, *status, note)
            }
        }
    }

    fn decide_update(
        &self,
        number: PoolNumber,
        id: &ItemId,
        change: ItemChange,
        note: &Note,
    ) -> Result<Option<Record<'static>>, Rejection> {
        let (pool, item) = self.find_item(number, id)?;
        let planned = pool.plan_update(item, &change)?;
        if pool.item(item) == Some(planned) {
            return Ok(None);
        }
        Ok(Some(Record::Update(Box::new(Update {
            pool: number,
            item,
            change,
            quantity: planned.quantity(),
            weight: planned.weight,
            catalog_version: pool.catalog_version() + 1,
            note: note.clone(),
        }))))
    }

    fn decide_addition(
        &self,
        number: PoolNumber,
        item: &CatalogItem,
        note: &Note,
    ) -> Result<Option<Record<'static>>, Rejection> {
        self.plan_addition(number, item)?;
        let pool = self.find_pool(number)?;
        let index = ItemIndex::from_usize(pool.item_count()).ok_or(Rejection::Full)?;
        Ok(Some(Record::ItemAdded(Box::new(ItemAdded {
            pool: number,
            index,
            item: item.clone(),
            catalog_version: pool.catalog_version() + 1,
            note: note.clone(),
        }))))
    }

    fn decide_retirement(
        &self,
        number: PoolNumber,
        id: &ItemId,
        note: &Note,
    ) -> Result<Option<Record<'static>>, Rejection> {
        let (pool, item) = self.find_item(number, id)?;
        pool.plan_retirement(item)?;
        Ok(Some(Record::ItemRetired(Box::new(ItemRetired {
            pool: number,
            item,
            catalog_version: pool.catalog_version() + 1,
            note: note.clone(),
        }))))
    }

    fn decide_status(
        &self,
        pool: PoolNumber,
        status: PoolStatus,
        note: &Note,
    ) -> Result<Option<Record<'static>>, Rejection> {
        let changes = self.find_pool(pool)?.plan_status(status)?;
        let changed = || Box::new(PoolStateChanged { pool, status, note: note.clone() });
        Ok(changes.then(|| Record::PoolStateChanged(changed())))
    }

    /// The number of a new pool of this name. Shared by the decision and by its check in replay.
    pub(crate) fn plan_pool(&self, name: &str) -> Result<PoolNumber, Rejection> {
        if self.names.find(name).is_some() {
            return Err(Rejection::PoolExists);
        }
        if self.pools.len() >= POOLS_MAX {
            return Err(Rejection::Full);
        }
        u32::try_from(self.pools.len()).map(PoolNumber).map_err(|_| Rejection::Full)
    }

    /// A new item of a pool. Shared by the decision and by its check in replay.
    pub(crate) fn plan_addition(
        &self,
        number: PoolNumber,
        item: &CatalogItem,
    ) -> Result<Item, Rejection> {
        let planned = self.find_pool(number)?.plan_addition(item.weight, item.quantity)?;
        match self.names.pool(number).and_then(|names| names.find(item.id.as_str())) {
            Some(_) => Err(Rejection::ItemExists),
            None => Ok(planned),
        }
    }

    fn find_pool(&self, pool: PoolNumber) -> Result<&Pool, Rejection> {
        self.pools.get(pool.as_usize()).ok_or(Rejection::UnknownPool)
    }

    /// A pool and the place of its item. A closed pool is refused before the item is looked for.
    fn find_item(&self, pool: PoolNumber, id: &ItemId) -> Result<(&Pool, ItemIndex), Rejection> {
        let found = self.find_pool(pool)?;
        found.check_open()?;
        let names = self.names.pool(pool).ok_or(Rejection::UnknownPool)?;
        let item = names.find(id.as_str()).ok_or(Rejection::UnknownItem)?;
        Ok((found, item))
    }
}
