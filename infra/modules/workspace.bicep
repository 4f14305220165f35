// An AzureML workspace of its own, where none is given: with its storage and key vault.

@description('Name of the workspace.')
param name string

@description('What makes names unique.')
param token string

@description('Region.')
param location string

@description('Tags of everything.')
param tags object

@allowed([
  'Standard_LRS'
  'Standard_ZRS'
  'Standard_GRS'
  'Standard_GZRS'
])
@description('Redundancy of its storage account.')
param storageSku string

@description('Application Insights.')
param insightsId string

@description('The identity that jobs run with on serverless compute.')
param jobsIdentityId string

@description('Days that manifests of batches are kept.')
param manifestDays int

@description('Subnet for private endpoints; public addresses when empty.')
param privateEndpointSubnetId string

@description('Private DNS zones, separated by commas.')
param privateDnsZoneIds string

var closed = !empty(privateEndpointSubnetId)
var zones = split(privateDnsZoneIds, ',')
var endpoints = map(closed ? [
  {
    service: 'blob'
    zone: '/privatelink.blob.${environment().suffixes.storage}'
  }
  {
    service: 'file'
    zone: '/privatelink.file.${environment().suffixes.storage}'
  }
  {
    service: 'vault'
    zone: '/privatelink.vaultcore.azure.net'
  }
  {
    service: 'amlworkspace'
    zone: '/privatelink.api.azureml.ms'
  }
] : [], one => {
  service: one.service
  subnetResourceId: privateEndpointSubnetId
  privateDnsZoneGroup: empty(filter(zones, id => endsWith(id, one.zone))) ? null : {
    privateDnsZoneGroupConfigs: map(filter(zones, id => endsWith(id, one.zone)), id => {
      privateDnsZoneResourceId: id
    })
  }
})

module storage 'br/public:avm/res/storage/storage-account:0.33.0' = {
  name: 'workspace-storage'
  params: {
    name: 'stmlw${token}'
    location: location
    tags: tags
    skuName: storageSku
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: closed ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
    }
    privateEndpoints: filter(endpoints, one => contains(['blob', 'file'], one.service))
  }
}

module vault 'br/public:avm/res/key-vault/vault:0.14.0' = {
  name: 'workspace-vault'
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    sku: 'standard'
    enableRbacAuthorization: true
    // It holds nothing of Signalbox; protected, an environment that was removed could not come back.
    enablePurgeProtection: false
    softDeleteRetentionInDays: 7
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: closed ? 'Deny' : 'Allow'
      bypass: 'AzureServices'
    }
    privateEndpoints: filter(endpoints, one => one.service == 'vault')
  }
}

module workspace 'br/public:avm/res/machine-learning-services/workspace:0.14.0' = {
  name: 'workspace-itself'
  params: {
    name: name
    location: location
    tags: tags
    sku: 'Basic'
    associatedStorageAccountResourceId: storage.outputs.resourceId
    associatedKeyVaultResourceId: vault.outputs.resourceId
    associatedApplicationInsightsResourceId: insightsId
    systemDatastoresAuthMode: 'Identity'
    managedIdentities: {
      systemAssigned: true
      userAssignedResourceIds: [
        jobsIdentityId
      ]
    }
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    managedNetworkSettings: closed ? {
      isolationMode: 'AllowInternetOutbound'
    } : null
    privateEndpoints: filter(endpoints, one => one.service == 'amlworkspace')
  }
}

module expiry 'manifest-expiry.bicep' = {
  name: 'manifest-expiry'
  params: {
    account: storage.outputs.name
    workspace: workspace.outputs.name
    days: manifestDays
  }
}
