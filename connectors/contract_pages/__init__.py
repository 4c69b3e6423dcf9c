"""Contract pages: every contract as a page for people, and as Avro, JSON Schema, example, code lists."""

from connectors.contract_pages.routes import ContractPages

__all__ = ["ContractPages"]
