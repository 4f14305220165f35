// Three accounts: the Functions host's, Signalbox's state, and a lake to try things with. No keys.

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
@description('Redundancy.')
param sku string

@description('Account of the Functions host.')
param hostAccount string

@description('Container of the deployed package, in it.')
param packageContainer string

@description('Account of the state.')
param stateAccount string

@description('Container of the state. Nobody else may write there.')
param stateContainer string

@description('Container for definitions that are put there by hand.')
param definitionsContainer string

@description('Container for events that Event Grid could not deliver.')
param deadLettersContainer string

@description('Account with the container landing; none when empty.')
param landingAccount string

@description('Days that final records are kept.')
param retentionDays int

@description('Days that history is kept.')
param historyDays int

@description('Subnet for private endpoints; public addresses when empty.')
param privateEndpointSubnetId string

@description('Private DNS zones, separated by commas.')
param privateDnsZoneIds string

var closed = !empty(privateEndpointSubnetId)
var access = closed ? 'Disabled' : 'Enabled'
// Event Grid writes dead letters as a trusted service.
var network = {
  defaultAction: closed ? 'Deny' : 'Allow'
  bypass: 'AzureServices'
}
var zones = filter(split(privateDnsZoneIds, ','), id => !empty(id))
var endpoints = map(closed ? ['blob', 'queue', 'table'] : [], service => {
  service: service
  subnetResourceId: privateEndpointSubnetId
  privateDnsZoneGroup: empty(filter(zones, id => endsWith(id, '/privatelink.${service}.${environment().suffixes.storage}'))) ? null : {
    privateDnsZoneGroupConfigs: map(filter(zones, id => endsWith(id, '/privatelink.${service}.${environment().suffixes.storage}')), id => {
      privateDnsZoneResourceId: id
    })
  }
})

// Final records carry the index tag state=final since their last write; history goes by its age.
// The first rule is what the ledger's dedupe window means: a record that is gone is not known.
var expiry = [
  {
    name: 'final-records'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: {
        blobTypes: ['blockBlob']
        prefixMatch: ['${stateContainer}/ledger/']
        blobIndexMatch: [
          {
            name: 'state'
            op: '=='
            value: 'final'
          }
        ]
      }
      actions: {
        baseBlob: {
          delete: {
            daysAfterModificationGreaterThan: retentionDays
          }
        }
      }
    }
  }
  {
    name: 'history'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: {
        blobTypes: ['blockBlob']
        prefixMatch: ['${stateContainer}/history/']
      }
      actions: {
        baseBlob: {
          delete: {
            daysAfterModificationGreaterThan: historyDays
          }
        }
      }
    }
  }
  {
    name: 'dead-letters'
    type: 'Lifecycle'
    enabled: true
    definition: {
      filters: {
        // Event Grid writes append blobs as well.
        blobTypes: ['blockBlob', 'appendBlob']
        prefixMatch: ['${deadLettersContainer}/']
      }
      actions: {
        baseBlob: {
          delete: {
            daysAfterModificationGreaterThan: historyDays
          }
        }
      }
    }
  }
]

module host 'br/public:avm/res/storage/storage-account:0.33.0' = {
  name: 'storage-host'
  params: {
    name: hostAccount
    location: location
    tags: tags
    skuName: sku
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: access
    networkAcls: network
    privateEndpoints: endpoints
    blobServices: {
      containers: [
        {
          name: packageContainer
        }
      ]
    }
  }
}

module state 'br/public:avm/res/storage/storage-account:0.33.0' = {
  name: 'storage-state'
  params: {
    name: stateAccount
    location: location
    tags: tags
    skuName: sku
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: access
    networkAcls: network
    privateEndpoints: filter(endpoints, one => one.service == 'blob')
    blobServices: {
      // A swapped record leaves no version behind, a deleted marker no copy: state changes all day.
      isVersioningEnabled: false
      deleteRetentionPolicyEnabled: false
      containerDeleteRetentionPolicyEnabled: true
      containerDeleteRetentionPolicyDays: 7
      containers: [
        {
          name: stateContainer
        }
        {
          name: definitionsContainer
        }
        {
          name: deadLettersContainer
        }
      ]
    }
    managementPolicyRules: expiry
  }
}

module landing 'br/public:avm/res/storage/storage-account:0.33.0' = if (!empty(landingAccount)) {
  name: 'storage-landing'
  params: {
    // Never deployed without a name.
    name: empty(landingAccount) ? 'unused' : landingAccount
    location: location
    tags: tags
    skuName: sku
    allowSharedKeyAccess: false
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: access
    networkAcls: network
    privateEndpoints: filter(endpoints, one => one.service == 'blob')
    blobServices: {
      containers: [
        {
          name: 'landing'
        }
      ]
    }
  }
}

output stateId string = state.outputs.resourceId
